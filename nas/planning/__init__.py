"""A job resolved: its spec, checked, with every name turned into the object that it names."""
