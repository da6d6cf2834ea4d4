"""The running of jobs in this process: on a store of its own, or on one that several services share."""
