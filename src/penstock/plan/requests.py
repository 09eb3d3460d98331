"""What is asked of a launcher for a component: the same for each of its uses."""

from __future__ import annotations

from penstock.graph.codec import type_to_json
from penstock.graph.command_codec import word_to_json
from penstock.graph.model import Command, Work
from penstock.graph.policies import environment_to_json
from penstock.wire import CommandRequest, FunctionRequest, WorkRequest


def work_request(work: Work, *, component: str, pin: str, code: str = "") -> WorkRequest:
    """The request for a function or command that rows call `component`. `code` is the digest of the blob with the closures."""
    inputs = {spec.name: type_to_json(spec.type) for spec in work.inputs}
    outputs = {spec.name: type_to_json(spec.type) for spec in work.outputs}
    asked = work.policy.environment
    environment = None if asked is None else environment_to_json(asked)
    if not isinstance(work, Command):
        return FunctionRequest(work.module, work.name, inputs, outputs, pin, code, environment)
    return CommandRequest(
        component=component,
        name=work.name,
        argv=tuple(word_to_json(word) for word in work.argv),
        inputs=inputs,
        outputs=outputs,
        sources={each.name: {"source": each.source, "path": each.path, "key": each.key} for each in work.outputs},
        pin=pin,
        script=work.script,
        env={name: word_to_json(word) for name, word in work.env.items()},
        given=work.given,
        files=work.policy.files,
        variables=work.policy.env,
        code=code,
        environment=environment,
    )
