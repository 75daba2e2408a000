"""The URL of an Azure provider, the ids it gives out, and what a handle refers to."""

import json

import attrs
import pytest

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId, NotFound
from cloudcrypt.model import VOLUME_ID_MAX, check_volume_id
from cloudcrypt.registry import open_provider, providers
from cloudcrypt.spi import DeleteVolume, Handle
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._ids import Endpoint, Ids, Reference, group_text
from cloudcrypt_azure._instances import Instance, holder_of
from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_given import GONE, GROUP, SUBSCRIPTION, created, opened, unique

ROOT = f"azure://{SUBSCRIPTION}/{GROUP}"
ALL = f"{ROOT}?location=westeurope&zone=1&owner=team%20a&endpoint=http%3A%2F%2F127.0.0.1%3A5000"
UNIQUE = "01234567-89ab-4cde-8f01-23456789abcd"
ARM = Endpoint("https://management.azure.com", SUBSCRIPTION)
COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG(1)/providers/Microsoft.Compute"
OPERATION = (
    f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    f"/locations/westeurope/DiskOperations/{UNIQUE}?p=1&api-version=2025-01-02"
)


@pytest.mark.parametrize("url", [ROOT, f"{ROOT}?location=westeurope", ALL, f"{ROOT}%28x%29"])
def test_the_url_of_a_provider_opens_an_equal_one(url: str) -> None:
    provider = AzureProvider.from_url(url)
    assert provider.url == url
    assert AzureProvider.from_url(provider.url).url == url


def test_defaults_are_left_out_and_case_does_not_matter() -> None:
    loud = f"azure://{SUBSCRIPTION.upper()}/{GROUP.upper()}/?owner=cloudcrypt"
    assert AzureProvider.from_url(loud).url == ROOT


def test_names_are_unique_in_a_group_for_an_owner_wherever_volumes_are_made() -> None:
    here = AzureProvider.from_url(f"{ROOT}?location=westeurope&zone=1").namespace
    assert AzureProvider.from_url(ROOT).namespace == here
    assert AzureProvider.from_url(f"{ROOT}?owner=other").namespace != here
    assert AzureProvider.from_url(f"{ROOT}-2").namespace != here


@pytest.mark.parametrize(
    "url",
    [
        "local:///tmp",
        f"azure://{SUBSCRIPTION}",
        f"azure://{SUBSCRIPTION}/",
        f"azure:///{GROUP}",
        f"azure://my-subscription/{GROUP}",
        f"azure://{SUBSCRIPTION}/a/b",
        f"azure://{SUBSCRIPTION}/ends-with-a-dot.",
        f"azure://{SUBSCRIPTION}/{'g' * 91}",
        f"{ROOT}#fragment",
        f"{ROOT}?zone=1",
        f"{ROOT}?location=westeurope&zone=eu-1",
        f"{ROOT}?location=West%20Europe",
        f"{ROOT}?location=",
        f"{ROOT}?location=a&location=b",
        f"{ROOT}?color=red",
        f"{ROOT}?location",
        f"{ROOT}?endpoint=ftp%3A%2F%2Fhost",
        f"{ROOT}?endpoint=https%3A%2F%2F",
        f"{ROOT}?endpoint=https%3A%2F%2Fhost%3Anumber",
        "azure://[00000000",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        AzureProvider.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        f"azure://client:hunter2@{SUBSCRIPTION}/{GROUP}",
        f"{ROOT}?endpoint=https%3A%2F%2Fuser%3Ahunter2%40host",
        f"{ROOT}?endpoint=https%3A%2F%2Fhost%2F%3Ftoken%3Dhunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AzureProvider.from_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "%5B%3A%3A1%5D"])
def test_a_cloud_on_this_host_may_be_asked_without_tls(host: str) -> None:
    AzureProvider.from_url(f"{ROOT}?endpoint=http%3A%2F%2F{host}%3A5000")


@pytest.mark.parametrize("host", ["management.azure.com", "127.0.0.1.example.org", "10.0.0.1"])
def test_no_other_host_is_sent_a_token_without_tls(host: str) -> None:
    # The defence is `is_safe` in cloudcrypt_azure._url.check_endpoint.
    with pytest.raises(InvalidRequest) as caught:
        AzureProvider.from_url(f"{ROOT}?endpoint=http%3A%2F%2F{host}")
    assert caught.value.parameter == "endpoint"


def test_the_registry_knows_azure() -> None:
    assert "azure" in providers()
    assert open_provider(ROOT).url == ROOT


def test_ids_are_canonical_lower_case_and_unique(fake_azure: FakeAzure) -> None:
    with_url = opened(fake_azure)
    volume = created(with_url)
    assert volume.id == f"azure:{SUBSCRIPTION}/{GROUP}/{unique(volume.id)}"
    assert unique(volume.id) in fake_azure.disks()


def test_a_group_that_an_id_cannot_show_is_shown_by_a_digest() -> None:
    plain, long = "a" * 39, "a" * 40
    assert group_text(plain) == plain
    odd = [long, "a" * 90, "a(1)", "a-1", "größe", f"a-{'0' * 16}", group_text(long)]
    shown = [group_text(group) for group in odd if group != "a-1"]
    assert len(set(shown)) == len(shown)
    for group in [*odd, plain]:
        ids = Ids(SUBSCRIPTION, group)
        for text in (ids.volume(UNIQUE), ids.snapshot(UNIQUE)):
            assert len(check_volume_id(text)) <= VOLUME_ID_MAX
        assert ids.unique_volume(ids.volume(UNIQUE.upper())) == UNIQUE
        assert ids.unique_snapshot(ids.snapshot(UNIQUE)) == UNIQUE


@pytest.mark.parametrize(
    "volume_id",
    [
        "vol-1",
        f"aws:eu-central-1/{UNIQUE}",
        f"azure:{SUBSCRIPTION}/{GROUP}",
        f"azure:{SUBSCRIPTION}/{GROUP}/data",
        f"azure:{SUBSCRIPTION}/{GROUP}/{UNIQUE.upper()}",
        f"azure:{SUBSCRIPTION}/{GROUP}/{UNIQUE}/more",
    ],
)
def test_what_is_no_id_of_azure_is_refused(volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        Ids(SUBSCRIPTION, GROUP).unique_volume(volume_id)


def test_ids_of_other_groups_subscriptions_and_kinds_are_not_found() -> None:
    ids = Ids(SUBSCRIPTION, GROUP)
    elsewhere = attrs.evolve(ids, group="other"), attrs.evolve(ids, subscription=UNIQUE)
    for other in elsewhere:
        with pytest.raises(NotFound):
            ids.unique_volume(other.volume(UNIQUE))
    with pytest.raises(NotFound):
        ids.unique_volume(ids.snapshot(UNIQUE))
    with pytest.raises(NotFound):
        ids.unique_snapshot(ids.volume(UNIQUE))


@pytest.mark.parametrize(
    "reference",
    [
        Reference("data"),
        Reference("data", UNIQUE),
        Reference("data", UNIQUE, OPERATION, 1893456000.5, 0),
        Reference("data", is_slow=True, is_late=True),
    ],
)
def test_a_reference_survives_as_text(reference: Reference) -> None:
    assert Reference.parse(str(reference), ARM) == reference


@pytest.mark.parametrize(
    "text",
    [
        "unknown",
        "[]",
        "{}",
        '{"name":1}',
        '{"name":"../disks/other"}',
        '{"name":"data","unique":"x"}',
        '{"name":"data","color":"red"}',
        '{"name":"data","time":"now"}',
        '{"name":"data","time":NaN}',
        '{"name":"data","lun":"0"}',
        '{"name":"data","is_late":1}',
        '{"name":"data","is_slow":null}',
        '{"name":"data","operation":1}',
        "[" * 10_000,
    ],
)
def test_what_is_no_reference_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        Reference.parse(text, ARM)


def test_a_reference_to_something_else_than_the_intent_says_is_not_found() -> None:
    text = str(Reference("data", UNIQUE))
    assert Reference.parse(text, ARM, UNIQUE).unique == UNIQUE
    with pytest.raises(NotFound):
        Reference.parse(text, ARM, UNIQUE.replace("0", "f"))


@pytest.mark.parametrize(
    "url",
    [
        OPERATION,
        OPERATION.replace("azure.com/", "azure.com:443/"),
        OPERATION.replace("Microsoft.Compute", "microsoft.compute"),
        OPERATION.replace("DiskOperations", "operations"),
        OPERATION + "&t=638&c=MIIH&s=abc_-&h=def",
    ],
)
def test_operations_of_our_subscription_at_our_endpoint_are_ours(url: str) -> None:
    assert ARM.is_operation(url)


FOREIGN = [
    OPERATION.replace("https:", "http:"),
    OPERATION.replace("management.azure.com", "management.azure.com.example.org"),
    OPERATION.replace("management.azure.com", "example.org"),
    OPERATION.replace("management.azure.com", "management.azure.com:8443"),
    OPERATION.replace("management.azure.com", "management.azure.com@example.org"),
    OPERATION.replace("management.azure.com", "user@management.azure.com"),
    OPERATION.replace(SUBSCRIPTION, UNIQUE),
    OPERATION.replace("Microsoft.Compute", "Microsoft.Storage"),
    OPERATION.replace("locations/westeurope", "../providers/Microsoft.Compute"),
    OPERATION.replace("locations/westeurope", "%2e%2e/x"),
    OPERATION.replace("/subscriptions", "\\subscriptions"),
    OPERATION + "#fragment",
    OPERATION + "\n",
    OPERATION + "&" + "x" * 10_000,
    "https://[management.azure.com",
    "//example.org/x",
    "",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_a_handle_never_sends_the_token_anywhere_else(url: str, fake_azure: FakeAzure) -> None:
    # The defence is `endpoint.is_operation` in cloudcrypt_azure._ids._is_reference.
    assert not ARM.is_operation(url)
    provider, seen = opened(fake_azure), len(fake_azure.requests)
    forged = json.dumps({"name": "data", "unique": unique(GONE), "operation": url})
    with pytest.raises(NotFound) as caught:
        provider.resume(Handle(DeleteVolume("t", GONE), forged))
    assert caught.value.kind == "operation"
    assert len(fake_azure.requests) == seen


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("vm-1", "demo-group/vm-1"),
        ("VM-1", "demo-group/vm-1"),
        ("Other.Group/vm_1", "other.group/vm_1"),
        ("g/set/7", "g/set/7"),
        (f"{COMPUTE}/virtualMachines/Vm-1", "rg(1)/vm-1"),
        (f"{COMPUTE}/virtualMachineScaleSets/Set/virtualMachines/12", "rg(1)/set/12"),
    ],
)
def test_instances_are_named_in_several_ways(text: str, canonical: str) -> None:
    assert str(Instance.parse(text, SUBSCRIPTION, GROUP)) == canonical
    assert str(Instance.parse(canonical, SUBSCRIPTION, GROUP)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "g/set/name",
        "a/b/1/c",
        "g/",
        "vm-1/",
        "../vm",
        f"/subscriptions/{UNIQUE}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Compute/disks/d",
    ],
)
def test_what_is_no_instance_of_this_subscription_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Instance.parse(text, SUBSCRIPTION, GROUP)
    assert caught.value.parameter == "instance"


def test_holders_are_canonical_and_what_is_no_machine_is_its_id() -> None:
    root = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG/providers/Microsoft.Compute"
    assert holder_of(f"{root}/virtualMachines/VM") == "rg/vm"
    # Disks name instances of scale sets by their names, requests by their numbers.
    assert holder_of(f"{root}/virtualMachineScaleSets/S/virtualMachines/S_3") == "rg/s/3"
    assert holder_of(f"{root}/virtualMachineScaleSets/S/virtualMachines/3") == "rg/s/3"
    other = f"{root}/galleries/G"
    assert holder_of(other) == other.lower()
