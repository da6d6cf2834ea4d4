"""Browsers as devices: `nas phone` serves a page, and each browser that joins there is one worker."""
