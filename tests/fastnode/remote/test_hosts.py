import pytest

from fastnode_ops.remote.hosts import Host, parse_host, parse_hosts
from ops_common.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("ml-dev-5", Host("ml-dev-5")),
        ("root@10.77.0.1", Host("10.77.0.1", "root")),
        ("data_gen@host.example:2222", Host("host.example", "data_gen", 2222)),
        ("[2001:DB8::1]", Host("2001:db8::1")),
        ("me@[::1]:22", Host("::1", "me", 22)),
    ],
)
def test_a_host_is_read_and_written(text: str, host: Host) -> None:
    assert parse_host(text) == host
    assert parse_host(str(host)) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=touch /tmp/x",
        "-l@host",
        "host name",
        "host'",
        'ho"st',
        "$(reboot)",
        "`reboot`",
        "host;reboot",
        "host|x",
        "host\nother",
        "ho\0st",
        "user@",
        "@host",
        "us er@host",
        "$USER@host",
        "a@b@host",
        "host:",
        "host:0",
        "host:65536",
        "host:22x",
        "host:-1",
        "host:٣",
        "2001:db8::1",
        "[2001:db8::1",
        "[10.0.0.1]",
        "[fe80::1%eth0]",
        "host/path",
        "hôte",
        "a" * 254,
    ],
)
def test_what_is_no_plain_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_host(text)


def test_lists_of_hosts() -> None:
    assert parse_hosts(["a b,c", " d "]) == [Host("a"), Host("b"), Host("c"), Host("d")]
    with pytest.raises(ConfigError, match="no hosts"):
        parse_hosts([" ", ""])
    with pytest.raises(ConfigError, match="twice"):
        parse_hosts(["a", "b a"])
    with pytest.raises(ConfigError, match="1001 hosts"):
        parse_hosts([f"h{index}" for index in range(1001)])
