"""Radiance fields of talking heads: the numbers of ER-NeRF (Li et al. 2023) and SyncTalk (Peng et al. 2024) in torch.

No extension is compiled: the same lines run on a CPU and on a GPU. Written from the papers and from facts about the
published checkpoints. A reader goes down: ``lessons`` (training) and ``picture`` (rendering) ask ``rays``,
``occupancy``, ``networks`` and ``composite``; the networks ask ``encodings``.

What stands:

* encodings, nets, cells, rays, marching and compositing, each tested beside a loop that computes one number at a time;
* the nets have the published sizes and a checkpoint's names, so that ``networks.take`` fills a head or a torso from the
  tensors of one, and hashed planes expand into dense ones, which render the same;
* a head learns from pictures, poses and sound by the photometric loss, and goes on after an interruption as if there
  had been none.

What does not stand yet, so that no engine is registered for it: preparing a film (poses, background, masks, features),
the other losses (lips by LPIPS, uncertainty, ambient), training of the torso, its grid of opacities, half precision,
reading whole workspaces of the originals, SyncTalk's blending back into the film, and anything on the web.
"""
