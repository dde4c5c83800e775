"""Radiance fields of talking heads: ER-NeRF (Li et al. 2023) and SyncTalk (Peng et al. 2024) in torch, one design.

No extension is compiled: the same lines run on a CPU and on a graphics card. Written from the papers and from facts
about the published checkpoints.

* ``engine`` is what the program asks; it needs no torch. ``filming`` replays poses and asks ``ears`` what is heard and
  ``stages`` where a picture comes to lie.
* ``talker`` is a head on disk, with all that it takes to film it.
* ``training``: a film of a person is taken apart and learnt.
* ``workspace``: what users have trained with the published programs becomes a talker.
* ``field``: the nets, what they are asked with, and how rays become pictures. Each number is tested beside a loop.
"""
