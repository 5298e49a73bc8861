"""What the README, docs/, deploy/, app.json and .env.example promise is so."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alerts import DEFAULT_FIELDS, FIELDS
from deliveries import BUDGET
from digest import BURST, FIRST_WAIT, HOUR, MAX_COLLECTED, SURGE
from filters import Router, group_of, read_ignore, read_types
from log_types import NAMES
from outbox import MAX_REMEMBERED, MAX_WAITING
from settings import DEFAULTS, read_settings
from tests.server import ROOT
from tools.draw_message import draw

README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()
APP_JSON = json.loads((ROOT / "app.json").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
UNIT = (ROOT / "deploy" / "auth0-logs-to-slack.service").read_text()


def test_app_json_and_the_readme_have_every_variable_and_no_other() -> None:
    assert set(APP_JSON["env"]) == set(DEFAULTS)
    configured = README.partition("## Configure it")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| .*\|$", configured, re.M)
    assert set(rows) == set(DEFAULTS)
    assert all(variable["description"] for variable in APP_JSON["env"].values())


def test_app_json_generates_the_token_and_declares_the_health_check() -> None:
    assert APP_JSON["env"]["AUTH0_LOG_STREAM_TOKEN"]["generator"] == "secret"
    assert APP_JSON["healthchecks"]["web"][0]["path"] == "/healthz"
    assert APP_JSON["formation"]["web"]["quantity"] == 1


@pytest.mark.parametrize(
    ("row", "group"), [("`failure`", "failure"), ("`limit`", "limit"), ("neither", "")]
)
def test_the_table_of_groups(row: str, group: str) -> None:
    table = SETTINGS.partition("| group | what it holds |")[2]
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} |"))
    codes = re.findall("`(.+?)`", line.split("|")[-2])
    assert set(codes) <= set(NAMES)
    assert {group_of(code) for code in codes} == {group}


@pytest.mark.parametrize(
    ("types", "alerts", "others"),
    [
        ("!fp,!fu,!fcpr", "f limit_wc", "fp fu fcpr s"),
        ("!fsa,!fco", "fp limit_wc fs", "fsa fco w s"),
        ("failure,limit,w", "fp limit_wc w", "wn s"),
        ("gd_*,!gd_*_succeed", "gd_auth_failed gd_start_auth", "gd_auth_succeed fp"),
    ],
)
def test_the_examples_of_alert_types(types: str, alerts: str, others: str) -> None:
    assert f"\n| `{types}` | " in SETTINGS
    chosen, unmatched = read_types(types)
    assert not unmatched
    assert all(map(chosen.wants, alerts.split()))
    assert not any(map(chosen.wants, others.split()))


COMMON = {"description": "Password is too common."}
UNKNOWN = {"type": "ferrt", "description": "Unknown or invalid refresh token."}


@pytest.mark.parametrize(
    ("ignore", "silenced", "alerted"),
    [
        ("^Password is too common", COMMON, {"description": "The password is weak."}),
        (
            r"^Unknown or invalid refresh token.*\[type: ferrt\]$",
            UNKNOWN,
            {**UNKNOWN, "type": "fertft"},
        ),
        (r"^Failed Logout \[type: flo\]$", {"type": "flo"}, {"type": "f"}),
        ("^Tenant: acme-dev$", {"tenant_name": "acme-dev"}, {"tenant_name": "acme"}),
        (
            r"^User: probe@example\.com$",
            {"user_name": "probe@example.com"},
            {"user_name": "a probe@example.com"},
        ),
        (
            r"^User: auth0\|507f1f77bcf86cd799439011$",
            {"user_id": "auth0|507f1f77bcf86cd799439011"},
            {"user_id": "auth0|507f1f77bcf86cd799439012"},
        ),
        (
            r"(?s)\[type: fapi\]$.*^Client: Terraform",
            {"type": "fapi", "client_name": "Terraform"},
            {"type": "fp", "client_name": "Terraform"},
        ),
    ],
)
def test_the_examples_of_alert_ignore(
    ignore: str, silenced: dict[str, str], alerted: dict[str, str]
) -> None:
    assert f"`{ignore}`" in SETTINGS
    chosen, warnings = read_ignore(ignore, read_types()[0])
    assert not warnings
    events = [{"type": "fp", **silenced}, {"type": "fp", **alerted}]
    routed = Router({"": chosen}).route(events)
    assert (routed.counts.total(), routed.ignored.total()) == (1, 1)


def test_the_example_of_what_administrators_do() -> None:
    types, ignore = re.findall(
        r"^    ALERT_TYPES='(.*,sapi)'\n    ALERT_IGNORE='(.*)'$", SETTINGS, re.M
    )[0]
    chosen, warnings = read_ignore(ignore, read_types(types)[0])
    assert not warnings
    does = ("Delete a client", "Create a role", "Update a client")
    calls = [{"type": "sapi", "description": description} for description in does]
    routed = Router({"": chosen}).route([*calls, {"type": "fp"}])
    assert routed.counts == {"sapi": 2, "fp": 1}


def test_the_readmes_second_channel_gets_limits_only() -> None:
    example = README.partition("**For a second channel**")[2].partition("\n\nThe first")
    variables = re.findall(r"^    ([A-Z_]+)='(.+)'$", example[0], re.M)
    webhooks = ("SLACK_WEBHOOK_URL", "SLACK_WEBHOOK_URL_SECURITY")
    (types,) = [each for each in variables if each[0] not in webhooks]
    assert len(variables) == 3
    settings = read_settings(dict([types, *((name, "console:") for name in webhooks)]))
    first, security = settings.channels
    assert first.alert_filter.types == "failure,limit"
    assert (security.label, security.alert_filter.types) == ("SECURITY", "limit")


def test_the_fields_and_their_default_are_told() -> None:
    table = SETTINGS.partition("## What an alert shows")[2].partition("\n## ")[0]
    rows = ",".join(re.findall(r"^\| (`.+?`) \|", table, re.M))
    assert set(re.findall("`([a-z_]+)`", rows)) == set(FIELDS)
    default = ",".join(DEFAULT_FIELDS)
    assert f"| `SLACK_FIELDS` | `{default}` |" in README
    description = APP_JSON["env"]["SLACK_FIELDS"]["description"]
    lists = re.findall(r"[a-z_]+(?:, ?[a-z_]+){3,}", description)
    assert lists == [", ".join(FIELDS), default]


def test_each_status_of_an_answer_has_a_row() -> None:
    table = TROUBLESHOOTING.partition("## What the service answers")[2]
    rows = re.findall(r"^\| ([0-9, ]+)", table, re.M)
    statuses = "200 204 400 401 404 405 408 413 415 503 503"
    assert re.findall("[0-9]+", ",".join(rows)) == statuses.split()


def anchors(text: str) -> list[str]:
    """What GitHub calls a document's headings in links."""
    found = []
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        words = re.sub(r"[^a-z0-9 -]", "", heading.lower())
        found.append(words.replace(" ", "-"))
    return found


def test_every_link_within_the_documents_leads_somewhere() -> None:
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob(".github/*.md"),
    ):
        for target in re.findall(r"\]\(([^):]+)\)", path.read_text()):
            name, _, anchor = target.partition("#")
            there = path.parent / name if name else path
            assert there.exists(), target
            if anchor:
                assert anchor in anchors(there.read_text()), target


def test_the_documents_tell_the_limits_that_the_code_keeps() -> None:
    longest = int(DEFAULTS["ALERT_DIGEST_SECONDS"])
    first_wait = f"about {longest * FIRST_WAIT:g} seconds"
    assert first_wait in README
    assert HOUR == 60 * 60  # "an hour", in all of them
    in_words = {10: "ten"}
    for said in (
        first_wait,
        f"After {in_words[BURST]} messages in a row",
        f"{in_words[SURGE]} times as many",
        f"{MAX_COLLECTED:,} collected alerts",
        f"At most {MAX_WAITING} deliveries wait",
        f"waits for up to {BUDGET:g} seconds",
    ):
        assert said in SETTINGS
    assert f"remembers {MAX_REMEMBERED:,} `log_id`s" in TROUBLESHOOTING


def test_the_picture_shows_what_the_code_makes() -> None:
    assert (ROOT / "docs" / "message.svg").read_text() == draw()


def test_every_way_to_deploy_runs_the_same_command() -> None:
    web = shlex.split((ROOT / "Procfile").read_text().partition("web: ")[2])
    assert json.loads(DOCKERFILE.rpartition("\nCMD ")[2]) == web
    started = shlex.split(UNIT.partition("\nExecStart=")[2].partition("\n")[0])
    assert [Path(started[0]).name, *started[1:]] == web
    assert not (ROOT / "Dockerfile").exists()  # or Dokku would not use the Procfile


def test_the_dockerfile_finds_what_it_copies() -> None:
    copied = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, re.M)
    assert all(any(ROOT.glob(source)) for source in copied)
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text()
    assert re.findall("^[^#].*$", ignore, re.M) == ["*", *(f"!{c}" for c in copied)]
    python = (ROOT / ".python-version").read_text().strip()
    assert f"\nFROM python:{python}-slim\n" in DOCKERFILE


def test_kubernetes_runs_one_process_and_lets_it_stop() -> None:
    text = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    deployment, service = yaml.safe_load_all(text)
    spec = deployment["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert f"\nENV PORT={container['ports'][0]['containerPort']}\n" in DOCKERFILE
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "auth0-logs-to-slack.service"
    # It looks whether the program is there.
    unit.write_text(re.sub("(?<=ExecStart=)[^ ]+", sys.executable, UNIT))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    checked = subprocess.run(command, capture_output=True, text=True)
    faults = [line for line in checked.stderr.splitlines() if unit.name in line]
    assert (checked.returncode, faults) == (0, [])


def test_the_filters_for_the_cli_and_for_terraform_are_the_same() -> None:
    text = (ROOT / "docs" / "auth0.md").read_text()
    cli = json.loads(text.partition("--filters '")[2].partition("'")[0])
    terraform = re.findall(
        '"(.+?)"', text.partition("[for name in [")[2].partition("]")[0]
    )
    assert cli == [{"type": "category", "name": name} for name in terraform]
