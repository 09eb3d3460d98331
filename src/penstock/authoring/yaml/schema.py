"""What may stand in a pipeline file: one description, of which the JSON Schema, the checker and the page of reference are
made. The order of keys here is the order in which files are written."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.authoring.yaml.forms import Anything, Choice, Either, Key, ListOf, MapOf, Plain, Record, Use
from penstock.graph.model import Trigger

VERSION = 1

TEXT, NAME, BOOLEAN = Plain("text"), Plain("name"), Plain("boolean")
DURATION, COUNT, TYPE = Plain("duration"), Plain("integer", 0), Plain("type")
REFERENCE, CONDITION = Plain("function"), Plain("condition")
NAMES, TEXTS = ListOf(NAME, or_one=True), ListOf(TEXT, or_one=True)
VALUE = Anything(references=True)
LABELS = MapOf(TEXT, keys="text")
COMMAND_OUTPUTS = MapOf(Either((TYPE, Use("command_output"))), keys="input")

USES = ("function", "component", "command", "pipeline", "tasks", "branch")
"""What a task does: exactly one of these."""

TYPED = Either((TYPE, Use("input")))
PARAMETERS = MapOf(TYPED, keys="input")

POLICY: tuple[Key, ...] = (
    Key("resources", Use("resources"), "What one attempt needs.", unset=True),
    Key(
        "retry",
        Either((Plain("integer", 1), Use("retry"))),
        "How many attempts in all, or how they are made.",
        unset=True,
    ),
    Key(
        "timeout",
        Either((Plain("duration_value"), Use("timeout"))),
        "What bounds each attempt; of a task that holds others, all of it.",
        unset=True,
    ),
    Key("priority", Plain("integer"), "Ready tasks of a higher priority start first.", unset=True, default="0"),
    Key("fresh", BOOLEAN, "Each attempt gets a process of its own.", unset=True, default="false"),
    Key(
        "cache",
        Either((Plain("cache"), Use("cache"))),
        "Whether results are reused, and what they depend on.",
        unset=True,
    ),
    Key("environment", Use("environment"), "An isolated set of packages to run in, built once.", unset=True),
)

_GRAPH: tuple[Key, ...] = (
    Key("fail_fast", BOOLEAN, "The first failed task cancels the rest.", default="false"),
    Key("timeout", DURATION, "What bounds a whole run.", unset=True),
    Key("labels", LABELS, "Key and text, for people and programs."),
)

_PIPELINE: tuple[Key, ...] = (
    Key("description", TEXT, "What it is for."),
    Key("parameters", PARAMETERS, "What a run can be given: types, and defaults."),
    Key(
        "sources",
        MapOf(Use("source")),
        "Data that stands outside and is looked at anew in every run: `${sources.NAME}`.",
    ),
    Key("tasks", MapOf(Use("task")), "What is done. Tasks may be written in any order."),
    Key(
        "outputs",
        MapOf(Either((Anything(references=True), Use("output")))),
        "What a run gives: `NAME: ${task.output}`.",
    ),
    *_GRAPH,
)

_COMMAND: tuple[Key, ...] = (
    Key("shell", BOOLEAN, "The command is one text for a shell; inputs are its variables.", default="false"),
    Key(
        "variables", MapOf(TEXT, keys="text"), "Environment variables that are set; `${inputs.NAME}` may stand in them."
    ),
    Key("input_files", MapOf(TEXT), "Inputs that are written to files of the attempt's folder before it starts."),
)

_FILE = Record(
    "file",
    "A file: the version of the format, and one pipeline or several.",
    (
        Key("penstock", Plain("version"), "The version of this format.", required=True),
        Key("pipeline", NAME, "The name of the pipeline that this file is."),
        *_PIPELINE[:2],
        _PIPELINE[2],
        Key("components", MapOf(Use("component")), "What tasks use, declared once."),
        *_PIPELINE[3:],
        Key("pipelines", MapOf(Use("pipeline")), "More pipelines: to be run by `file.yaml:NAME`, or used as tasks."),
    ),
)

_RECORDS: tuple[Record, ...] = (
    _FILE,
    Record(
        "pipeline",
        "A pipeline among several of a file.",
        (Key("name", NAME, "Its name where that is not the key.", default="the key"), *_PIPELINE),
    ),
    Record(
        "input",
        "An input: its type, and what it is where nothing is given.",
        (
            Key("type", TYPE, "Its type.", default="any"),
            Key("default", Anything(), "Its value where none is given. Without it, one must be."),
            Key("description", TEXT, "What it means."),
        ),
    ),
    Record(
        "output",
        "An output whose type is said.",
        (Key("value", VALUE, "What it is.", required=True), Key("type", TYPE, "Its type.", default="that of the value")),
    ),
    Record(
        "source",
        "Data that stands outside.",
        (
            Key("file", TEXT, "A file, by its path."),
            Key("folder", TEXT, "A folder, with all that is in it."),
            Key("url", TEXT, "What an address over http or https answers."),
            Key("table", TEXT, "A database, as SQLAlchemy writes its address; with `query`."),
            Key("query", TEXT, "What is asked of the database."),
            Key("version", TEXT, "A cheaper query whose answer changes when the rows do."),
        ),
        exactly_one=("file", "folder", "url", "table"),
        only_with={"query": ("table",), "version": ("table",)},
    ),
    Record(
        "component",
        "A Python function or a command. What it says here holds for each use that does not say otherwise.",
        (
            Key("function", REFERENCE, "A Python function, as `module:function`."),
            Key("command", Either((TEXT, ListOf(Plain("word")))), "A program and its arguments, or with `shell` one text."),
            Key("name", NAME, "The name of a command where that is not the key.", default="the key"),
            Key("description", TEXT, "What it is for."),
            Key("inputs", PARAMETERS, "Types and defaults of its inputs; of a function, in place of its signature's."),
            Key("outputs", COMMAND_OUTPUTS, "Its outputs, as `inputs`."),
            *_COMMAND,
            *POLICY,
        ),
        exactly_one=("function", "command"),
        only_with={key.name: ("command",) for key in (*_COMMAND, Key("name", NAME, ""))},
    ),
    Record(
        "command_output",
        "Where an output of a command comes from.",
        (
            Key("from", Choice(("file", "json", "last_line", "stdout")), "A file or folder that it writes, a value in a JSON "
                "file, the last line of its standard output, or all of it.", default="file with a path, else last_line"),
            Key("path", TEXT, "The file, relative to the attempt's folder, where the command runs."),
            Key("key", TEXT, "The key of the value in a JSON object; without it, all of it."),
            Key("type", TYPE, "Its type.", default="path for a file, json for JSON, else str"),
        ),
    ),
    Record(
        "task",
        "One use of something: what is done, what it is given, when it may run, how its attempts are made.",
        (
            Key("function", REFERENCE, "A Python function, as `module:function`: types and defaults are its signature's."),
            Key("component", TEXT, "A component of this file, or of another as `file.yaml:NAME`."),
            Key("command", Either((TEXT, ListOf(Plain("word")))), "A program and its arguments, or with `shell` one text."),
            Key("pipeline", TEXT, "A pipeline of this file, of another as `file.yaml:NAME`, or of Python as `module:name`."),
            Key("inputs", MapOf(VALUE, keys="input"), "What it is given: data, or references such as `${task.output}`."),
            Key("takes", PARAMETERS, "Types and defaults of the inputs of `tasks` or `command`, where those that are given "
                "do not say enough."),
            Key("map", Use("map"), "Use it once for each item of a list, in parallel."),
            Key("loop", Use("loop"), "Use it again and again until a condition holds."),
            Key("branch", ListOf(Use("case")), "Do what the first case says whose condition holds."),
            Key("tasks", MapOf(Use("task")), "Tasks inside of this one. They may refer to what stands around it."),
            Key("outputs", MapOf(Either((VALUE, Use("output")))), "What the `tasks` or the `command` give."),
            Key("body", Use("body"), "More about the graph that `tasks` make."),
            *_COMMAND,
            Key("finally", Either((BOOLEAN, NAMES)), "Run when these tasks (true: all others) have ended, however they ended."),
            Key("after", NAMES, "Tasks to wait for without taking anything of them."),
            Key("when", CONDITION, "Run only if this holds."),
            Key("trigger", Choice(tuple(str(trigger) for trigger in Trigger)), "How what it waits for must have ended.",
                default="all_succeeded"),
            *POLICY,
            Key("labels", LABELS, "Key and text, for people and programs."),
        ),
        exactly_one=USES,
        only_with={
            "takes": ("tasks", "command"), "outputs": ("tasks", "command"), "body": ("tasks", "map", "loop"),
            **{key.name: ("command",) for key in _COMMAND},
        },
        instead={"command": {"outputs": COMMAND_OUTPUTS}},
    ),
    Record(
        "map",
        "Once for each item of a list.",
        (
            Key("over", VALUE, "The list; or INPUT: LIST for each of several.", required=True),
            Key("combine", Choice(("step", "product")), "How several lists are gone over: in step, or in every combination.",
                default="step"),
            Key("as", NAME, "The input that gets the item.", default="the first that is not given"),
            Key("index_as", NAME, "The input that gets the item's position, from 0."),
            Key("parallel_max", Plain("integer", 1), "So many at a time.", unset=True, default="as there is room"),
            Key("failures_max", COUNT, "So many items may fail.", default="0"),
        ),
    ),
    Record(
        "loop",
        "Again and again: at least once.",
        (
            Key("until", CONDITION, "Ends it. `outputs.NAME` is what the round just ended gave, `round` its number from 1."),
            Key("rounds_max", Plain("integer", 1), "So many rounds at most.", required=True),
            Key("carry", Either((NAME, MapOf(NAME, keys="input"))), "OUTPUT: INPUT that it feeds in the next round.",
                default="outputs that are named like an input of the same type"),
            Key("round_as", NAME, "The input that gets the number of the round."),
            Key("exhausted", Choice(("succeed", "fail")), "What it means that all rounds are used up.", default="succeed"),
        ),
    ),
    Record(
        "case",
        "One case of a branch. The last may have no condition: otherwise.",
        (
            Key("when", CONDITION, "Take this case if this holds."),
            Key("inputs", MapOf(VALUE, keys="input"), "What its tasks know as `${inputs.NAME}`, beside what stands around it."),
            Key("takes", PARAMETERS, "Types and defaults of those inputs, where what is given does not say enough."),
            Key("tasks", MapOf(Use("task")), "What is done."),
            Key("outputs", MapOf(Either((VALUE, Use("output")))), "What it gives, to be used as `${branch.NAME}`."),
            Key("body", Use("body"), "More about the graph that `tasks` make."),
        ),
    ),
    Record(
        "body",
        "The graph inside of a task.",
        (Key("name", NAME, "Its name.", default="that of the task"), Key("description", TEXT, "What it is for."), *_GRAPH),
    ),
    Record(
        "resources",
        "What one attempt needs. Amounts may be values: `${...}`. Other keys are named resources of the settings.",
        (
            Key("cpu", Plain("amount", 0), "Cores; fractions are allowed.", default="1"),
            Key("memory", Plain("size_value"), "Bytes, or text such as `4GiB`.", unset=True, default="not declared"),
            Key("disk", Plain("size_value"), "What it may write in its own folder.", unset=True, default="not bounded"),
            Key("gpu", Either((Plain("amount", 0), Use("gpu"))), "GPUs: whole devices, or a share of one below 1.", unset=True),
        ),
        others=Plain("amount", 0),
    ),
    Record(
        "gpu",
        "GPUs of one machine.",
        (
            Key("count", Plain("amount", 0), "Whole devices, or a share of one below 1.", default="1"),
            Key("memory", Plain("size_value"), "What is needed on each; it may then be shared.", unset=True),
        ),
    ),
    Record(
        "retry",
        "When a failed attempt is followed by another.",
        (
            Key("attempts", Plain("integer", 1), "Attempts in all.", default="1"),
            Key("backoff", DURATION, "The wait before the second.", default="1s"),
            Key("factor", Plain("number", 1), "The wait grows so much with each.", default="2"),
            Key("backoff_max", DURATION, "The longest wait.", default="5m"),
            Key("jitter", Plain("number", 0), "Each wait is varied by this fraction.", default="0.1"),
            Key("on", TEXTS, "Only for these exceptions: `ValueError`, `module:Name`.", default="all"),
            Key("oom_max", COUNT, "Attempts that ended without memory and are made again, with more.", default="3"),
            Key("lost_max", COUNT, "Attempts that ended without a word and are made again.", default="5"),
        ),
    ),
    Record(
        "timeout",
        "A limit that is computed.",
        (Key("milliseconds", Plain("amount", 0), "The limit, as a number of milliseconds.", required=True),),
    ),
    Record(
        "cache",
        "Whether results are reused, and what they depend on beside code and inputs.",
        (
            Key("use", Plain("cache"), "false: always run; trust: reuse though something cannot be followed.", unset=True),
            Key("version", TEXT, "Another one makes it run again.", unset=True),
            Key("expires", DURATION, "How long results hold.", unset=True),
            Key("files", TEXTS, "Files and folders that it reads, relative to the project."),
            Key("env", TEXTS, "Environment variables that it reads; `secret:NAME` counts by name."),
            Key("depends", TEXTS, "More code that it depends on: `module` or `module:name`."),
        ),
    ),
    Record(
        "environment",
        "An isolated set of packages, built once for its content; never the project's own.",
        (
            Key("python", TEXT, "A version, such as \"3.12\".", default="the project's"),
            Key("packages", TEXTS, "Requirements as pip reads them."),
            Key("requirements", TEXT, "A requirements file, relative to the project."),
        ),
    ),
)  # fmt: skip

RECORDS: Mapping[str, Record] = {record.name: record for record in _RECORDS}
