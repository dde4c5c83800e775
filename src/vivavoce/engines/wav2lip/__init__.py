"""``face.wav2lip``: Wav2Lip (Prajwal et al., 2020, arXiv:2008.10010) for those who have its checkpoint.

``architecture`` is the net as a table, without torch; ``net`` runs it. The weights are the user's own: they were
trained on LRS2 and are for research only.
"""
