"""The one tree of errors; families say whose fault it is.

    CloudcryptError
    +-- RequestError            what was asked for cannot be
    |   +-- InvalidRequest          a parameter is malformed or out of range
    |   +-- InvalidVolumeId         not a volume id
    |   +-- UnknownProvider         no adapter is registered for the scheme of a URL
    |   +-- UnsupportedOperation    understood, but not offered (yet) by this version or provider
    |   +-- RequestConflict         the name exists already, with other parameters
    |   +-- RequestRejected         the cloud does not accept the parameters
    +-- ProviderError           the cloud, or what stands for it, refused
    |   +-- NotFound                no such volume, snapshot or operation
    |   |   +-- Vanished                accepted once, and gone
    |   +-- AttachedElsewhere       the volume is attached to another instance
    |   +-- VolumeInUse             the volume must be detached first
    |   +-- WrongVolumeState        the volume is in a state that forbids the operation
    |   +-- ProviderUnavailable     the provider could not be reached or could not store its answer
    |   +-- OperationPending        accepted, and not finished within the time given
    |   +-- OperationFailed         accepted, and failed later
    |   +-- AttachStuck             attaching for much longer than it takes
    |   +-- DetachBlocked           the instance still uses the volume
    |   +-- ModificationLimited     the cloud allows no further change now
    |   +-- QuotaExceeded           a limit of the account
    |   +-- AttachmentLimit         a limit of the instance
    |   +-- OutOfCapacity           the cloud has none left at this place
    |   +-- Throttled               the cloud asks to be asked more slowly
    |   +-- AccessDenied            the credentials do not allow it
    |   +-- CredentialsRefused      no credentials, or not valid ones
    |   +-- CloudRefused            refused for a reason without a class of its own
    +-- DeviceError             the block device on the node
    |   +-- DeviceUnavailable       it cannot be opened
    |   +-- DeviceBusy              another process has it open for writing
    |   +-- DeviceIOError           a read, write or flush failed or came back short
    |   +-- DeviceTooSmall          it cannot hold the header and one sector
    |   +-- DeviceNotBlank          it holds something, so it is not formatted
    |   +-- DeviceMismatch          it is not the device that the provider described
    |   +-- DeviceNotGrown          its new size is not seen
    |   +-- MappingConflict         a mapping of the kernel is not the expected one
    |   +-- MappingFailed           the kernel could not map it, or unmap it
    |   +-- FilesystemMismatch      its payload holds another filesystem than recorded, or none
    |   +-- FilesystemDamaged       its filesystem needs a person
    |   +-- FilesystemFailed        a program or the kernel failed on its filesystem
    |   +-- MountConflict           something else is mounted, or elsewhere
    |   +-- MountBusy               its filesystem is in use
    +-- HeaderError             what the disk says about itself
    |   +-- HeaderRefused           a numbered step of the verification refused it
    |       +-- KeyslotsRefused         not exactly keyslot 0
    |       +-- KdfRefused              Argon2id would cost more than the profile allows
    |       +-- ModeRefused             the header is of the other mode
    |       +-- IdentityRefused         another UUID or generation than expected
    |       +-- PolicyRefused           sealed or not, against the caller's key policy
    |       +-- CapacityRefused         the device is smaller than recorded
    |       +-- SealRefused             the MAC does not verify
    |       +-- VolumeKeyRefused        the keyslot yields a key that the digest denies
    +-- IntegrityError          what the disk holds is not what was written there
    |   +-- SuperblockRefused       the integrity superblock is not the computed one
    |   +-- JournalRefused          the integrity journal cannot be genuine
    |   +-- SectorRefused           the tag of a sector does not verify
    +-- KeyServiceError         data keys and master secrets
    |   +-- MasterSecretInvalid     a master secret cannot be read or is malformed
    |   +-- UnknownKeyService       no adapter is registered for the scheme of a URL
    |   +-- KeyUriInvalid           the URL of a key service or key store is malformed
    |   +-- DataKeyUnavailable      the key service gave no usable key
    |   +-- DataKeyAbsent           there is no data key of this id
    |   +-- WrappedKeyRefused       a wrapped data key was changed, or belongs to another id
    |   +-- KeyServiceUnavailable   the key service cannot be reached, or was too slow
    |   +-- KeyServiceThrottled     the key service asks to be asked more slowly
    |   +-- KeyDenied               the key service does not give this key to this caller
    |   +-- KeyServiceFailed        the key service answered with a lasting error
    +-- HostError               this machine
    |   +-- HostUnready             a resource or library is missing
    +-- StateError              what is recorded of the volume
        +-- UnknownVolume           the ledger has never heard of it
        +-- VolumeLost              the ledger knows it, and the provider has it no more
        +-- AlreadyRegistered       the ledger knows it already, otherwise
        +-- StateForbids            the recorded state forbids the operation
        +-- PayloadForbids          what is recorded of the payload forbids the operation
        +-- RecordChanged           another process changed the record meanwhile
        +-- ExpectationConflict     the caller's expectation contradicts the ledger
        +-- VolumeBusy              another node holds it
        +-- LedgerUnavailable       the ledger itself cannot be read or written
        +-- OperationBusy           another caller works on the same thing
        +-- OperationCancelled      the caller cancelled the wait
        +-- OperationUnknown        the journal has no such operation
        +-- JournalUnavailable      the journal of operations cannot be read or written

Every error is a value: its facts are attributes, and it carries ``remedy`` (what the reader should
do), ``retryable`` and ``grpc_code``; where a cloud answered, ``cloud_code``, ``request_id`` and
``retry_after``. Errors survive pickling. No secret, and no unbounded or unprintable text from a
disk, enters a message.
"""

from cloudcrypt.errors._base import Answer, CloudcryptError, shown
from cloudcrypt.errors._device import (
    DeviceBusy,
    DeviceError,
    DeviceIOError,
    DeviceMismatch,
    DeviceNotBlank,
    DeviceNotGrown,
    DeviceTooSmall,
    DeviceUnavailable,
    FilesystemDamaged,
    FilesystemFailed,
    FilesystemMismatch,
    MappingConflict,
    MappingFailed,
    MountBusy,
    MountConflict,
)
from cloudcrypt.errors._header import (
    CapacityRefused,
    HeaderError,
    HeaderRefused,
    IdentityRefused,
    KdfRefused,
    KeyslotsRefused,
    ModeRefused,
    PolicyRefused,
    SealRefused,
    VolumeKeyRefused,
)
from cloudcrypt.errors._host import (
    HostError,
    HostUnready,
)
from cloudcrypt.errors._integrity import (
    IntegrityError,
    JournalRefused,
    SectorRefused,
    SuperblockRefused,
)
from cloudcrypt.errors._keys import (
    DataKeyAbsent,
    DataKeyUnavailable,
    KeyDenied,
    KeyServiceError,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    KeyUriInvalid,
    MasterSecretInvalid,
    UnknownKeyService,
    WrappedKeyRefused,
)
from cloudcrypt.errors._provider import (
    AccessDenied,
    AttachedElsewhere,
    AttachmentLimit,
    AttachStuck,
    CloudRefused,
    CredentialsRefused,
    DetachBlocked,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    Throttled,
    Vanished,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.errors._request import (
    InvalidRequest,
    InvalidVolumeId,
    RequestConflict,
    RequestError,
    RequestRejected,
    UnknownProvider,
    UnsupportedOperation,
)
from cloudcrypt.errors._state import (
    AlreadyRegistered,
    ExpectationConflict,
    JournalUnavailable,
    LedgerUnavailable,
    OperationBusy,
    OperationCancelled,
    OperationUnknown,
    PayloadForbids,
    RecordChanged,
    StateError,
    StateForbids,
    UnknownVolume,
    VolumeBusy,
    VolumeLost,
)

__all__ = [
    "AccessDenied",
    "AlreadyRegistered",
    "Answer",
    "AttachStuck",
    "AttachedElsewhere",
    "AttachmentLimit",
    "CapacityRefused",
    "CloudRefused",
    "CloudcryptError",
    "CredentialsRefused",
    "DataKeyAbsent",
    "DataKeyUnavailable",
    "DetachBlocked",
    "DeviceBusy",
    "DeviceError",
    "DeviceIOError",
    "DeviceMismatch",
    "DeviceNotBlank",
    "DeviceNotGrown",
    "DeviceTooSmall",
    "DeviceUnavailable",
    "ExpectationConflict",
    "FilesystemDamaged",
    "FilesystemFailed",
    "FilesystemMismatch",
    "HeaderError",
    "HeaderRefused",
    "HostError",
    "HostUnready",
    "IdentityRefused",
    "IntegrityError",
    "InvalidRequest",
    "InvalidVolumeId",
    "JournalRefused",
    "JournalUnavailable",
    "KdfRefused",
    "KeyDenied",
    "KeyServiceError",
    "KeyServiceFailed",
    "KeyServiceThrottled",
    "KeyServiceUnavailable",
    "KeyUriInvalid",
    "KeyslotsRefused",
    "LedgerUnavailable",
    "MappingConflict",
    "MappingFailed",
    "MasterSecretInvalid",
    "ModeRefused",
    "ModificationLimited",
    "MountBusy",
    "MountConflict",
    "NotFound",
    "OperationBusy",
    "OperationCancelled",
    "OperationFailed",
    "OperationPending",
    "OperationUnknown",
    "OutOfCapacity",
    "PayloadForbids",
    "PolicyRefused",
    "ProviderError",
    "ProviderUnavailable",
    "QuotaExceeded",
    "RecordChanged",
    "RequestConflict",
    "RequestError",
    "RequestRejected",
    "SealRefused",
    "SectorRefused",
    "StateError",
    "StateForbids",
    "SuperblockRefused",
    "Throttled",
    "UnknownKeyService",
    "UnknownProvider",
    "UnknownVolume",
    "UnsupportedOperation",
    "Vanished",
    "VolumeBusy",
    "VolumeInUse",
    "VolumeKeyRefused",
    "VolumeLost",
    "WrappedKeyRefused",
    "WrongVolumeState",
    "shown",
]
