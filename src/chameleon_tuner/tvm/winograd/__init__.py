"""3x3 convolutions by Winograd's minimal filtering.

F(m x m, 3 x 3) makes m x m outputs of (m + 2) x (m + 2) inputs with (m + 2)^2 multiplications for
every pair of channels; a direct convolution takes 9 m^2: 2.25 times as many for m = 2, 4 times for
m = 4. See Lavin and Gray, arXiv 1509.09308.
"""
