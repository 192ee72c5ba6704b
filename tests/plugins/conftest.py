"""Fixtures of several files here."""

from tests.local_s3 import destination as destination
from tests.local_s3 import own_s3 as own_s3
from tests.local_s3 import shared_s3 as shared_s3
from tests.plugins.pod_cluster import cluster as cluster
from tests.plugins.pod_cluster import deployment as deployment
