"""What crosses a process border: attempt requests, outcomes and reports, as versioned JSON.

Values here are `Datum`s: a parameter inline, an artifact by digest, or a counted list of both. `*_to_json` gives plain
data for `json.dumps`, `*_from_json` takes what `json.loads` gave and trusts it (both ends are ours and say their
version first)."""

from penstock.base.limits import ITEMS_MAX as ITEMS_MAX
from penstock.base.limits import PARAMETER_BYTES_MAX as PARAMETER_BYTES_MAX
from penstock.wire.describing import DescribeRequest as DescribeRequest
from penstock.wire.describing import Description as Description
from penstock.wire.describing import description_from_json as description_from_json
from penstock.wire.describing import description_to_json as description_to_json
from penstock.wire.observing import EXHIBIT_KINDS as EXHIBIT_KINDS
from penstock.wire.observing import Exhibit as Exhibit
from penstock.wire.observing import Observation as Observation
from penstock.wire.observing import Observed as Observed
from penstock.wire.observing import Progress as Progress
from penstock.wire.observing import observed_from_json as observed_from_json
from penstock.wire.observing import observed_to_json as observed_to_json
from penstock.wire.outcomes import KIND_BY_OUTCOME as KIND_BY_OUTCOME
from penstock.wire.outcomes import OUTCOME_KINDS as OUTCOME_KINDS
from penstock.wire.outcomes import Cancelled as Cancelled
from penstock.wire.outcomes import Failed as Failed
from penstock.wire.outcomes import Failure as Failure
from penstock.wire.outcomes import Frame as Frame
from penstock.wire.outcomes import Held as Held
from penstock.wire.outcomes import InputLost as InputLost
from penstock.wire.outcomes import Lost as Lost
from penstock.wire.outcomes import NotYet as NotYet
from penstock.wire.outcomes import Outcome as Outcome
from penstock.wire.outcomes import OutOfMemory as OutOfMemory
from penstock.wire.outcomes import OutputInvalid as OutputInvalid
from penstock.wire.outcomes import Refused as Refused
from penstock.wire.outcomes import Skipped as Skipped
from penstock.wire.outcomes import Succeeded as Succeeded
from penstock.wire.outcomes import TimedOut as TimedOut
from penstock.wire.outcomes import failure_from_json as failure_from_json
from penstock.wire.outcomes import outcome_from_json as outcome_from_json
from penstock.wire.outcomes import outcome_to_json as outcome_to_json
from penstock.wire.reports import NO_USAGE as NO_USAGE
from penstock.wire.reports import AttemptEnded as AttemptEnded
from penstock.wire.reports import AttemptStarted as AttemptStarted
from penstock.wire.reports import LogSegment as LogSegment
from penstock.wire.reports import Report as Report
from penstock.wire.reports import Usage as Usage
from penstock.wire.reports import report_from_json as report_from_json
from penstock.wire.reports import report_to_json as report_to_json
from penstock.wire.requests import WIRE_VERSION as WIRE_VERSION
from penstock.wire.requests import AttemptRequest as AttemptRequest
from penstock.wire.requests import CommandRequest as CommandRequest
from penstock.wire.requests import FunctionRequest as FunctionRequest
from penstock.wire.requests import WorkRequest as WorkRequest
from penstock.wire.requests import request_from_json as request_from_json
from penstock.wire.requests import request_to_json as request_to_json
from penstock.wire.values import Artifact as Artifact
from penstock.wire.values import Counted as Counted
from penstock.wire.values import Datum as Datum
from penstock.wire.values import Inline as Inline
from penstock.wire.values import artifact_bytes as artifact_bytes
from penstock.wire.values import data_from_json as data_from_json
from penstock.wire.values import data_to_json as data_to_json
from penstock.wire.values import datum_from_json as datum_from_json
from penstock.wire.values import datum_to_json as datum_to_json
from penstock.wire.values import parameter_from_json as parameter_from_json
from penstock.wire.values import parameter_to_json as parameter_to_json
