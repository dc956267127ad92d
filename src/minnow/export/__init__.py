"""Write a model in the form that another library loads, proven by that library."""
