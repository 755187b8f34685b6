"""The winners as a library in a folder, and the loading of such a library."""
