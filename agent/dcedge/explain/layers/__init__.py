"""One function a layer of the walk: evidence in, an outcome out. Pure."""
