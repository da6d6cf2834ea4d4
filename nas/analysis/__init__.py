"""What the store tells of a job: its candidates' values, its points, what is optimal, why the front looks as
it does, which bounds can be met. Reads a plan and the store; runs nothing and stores nothing."""
