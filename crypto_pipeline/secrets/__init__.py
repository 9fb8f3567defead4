"""Where credentials are kept: a family of sources behind one interface."""
