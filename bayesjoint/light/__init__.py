"""Parameters to brightness and its Fourier transform: profiles, their Hankel transforms, tables."""
