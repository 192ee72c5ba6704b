"""A double of the Kubernetes API over HTTP, whose containers are real processes in namespaces of their own."""
