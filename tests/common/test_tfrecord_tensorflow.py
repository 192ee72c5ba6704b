"""Our TFRecord files are TensorFlow's, in both directions."""

import pytest

from ops_common.tfrecord import read_records, write_records

pytestmark = pytest.mark.tf

PAYLOADS = [b"", b"one", bytes(range(256)) * 1000]


def test_tensorflow_reads_ours(tmp_path):
    import tensorflow as tf

    path = tmp_path / "ours.tfrecord"
    write_records(path, PAYLOADS)
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == PAYLOADS


def test_we_read_tensorflows(tmp_path):
    import tensorflow as tf

    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert list(read_records(path)) == PAYLOADS
    ours = tmp_path / "ours.tfrecord"
    write_records(ours, PAYLOADS)
    assert ours.read_bytes() == path.read_bytes()


def test_tensorflow_rejects_what_we_reject(tmp_path):
    import tensorflow as tf

    path = tmp_path / "torn.tfrecord"
    write_records(path, PAYLOADS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))
