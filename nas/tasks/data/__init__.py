"""Where labelled examples come from: files that packages bring, a user's own files, generators."""
