CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE cache_entries (
	entry_key INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	component TEXT NOT NULL,
	run_id TEXT NOT NULL,
	path TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	outputs TEXT NOT NULL,
	code TEXT NOT NULL,
	environment TEXT NOT NULL,
	inputs TEXT NOT NULL,
	reads TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	duration_us INTEGER NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_cache_entries PRIMARY KEY (entry_key)
);

CREATE INDEX ix_cache_entries_component ON cache_entries (component, created_at);

CREATE INDEX ix_cache_entries_key ON cache_entries ("key", entry_key);

CREATE TABLE component_history (
	component TEXT NOT NULL,
	succeeded_count INTEGER NOT NULL,
	duration_us INTEGER NOT NULL,
	CONSTRAINT pk_component_history PRIMARY KEY (component)
)
 WITHOUT ROWID;

CREATE TABLE component_memory (
	component TEXT NOT NULL,
	runs TEXT NOT NULL,
	CONSTRAINT pk_component_memory PRIMARY KEY (component)
)
 WITHOUT ROWID;

CREATE TABLE component_worked (
	component TEXT NOT NULL,
	input_class INTEGER NOT NULL,
	memory_bytes INTEGER NOT NULL,
	CONSTRAINT pk_component_worked PRIMARY KEY (component, input_class)
)
 WITHOUT ROWID;

CREATE TABLE graphs (
	graph_digest TEXT NOT NULL,
	graph TEXT NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_graphs PRIMARY KEY (graph_digest)
);

CREATE TABLE nondeterminism (
	component TEXT NOT NULL,
	at INTEGER NOT NULL,
	detail TEXT NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_nondeterminism PRIMARY KEY (component)
)
 WITHOUT ROWID;

CREATE TABLE runs (
	run_key INTEGER NOT NULL,
	run_id TEXT NOT NULL,
	pipeline TEXT NOT NULL,
	graph_digest TEXT NOT NULL,
	inputs TEXT NOT NULL,
	pin TEXT NOT NULL,
	seed TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	priority INTEGER NOT NULL,
	retry_of TEXT,
	labels TEXT NOT NULL,
	provenance TEXT NOT NULL,
	state TEXT NOT NULL,
	cause TEXT NOT NULL,
	stopping TEXT NOT NULL,
	started_at INTEGER,
	ended_at INTEGER,
	outputs TEXT NOT NULL,
	code TEXT DEFAULT '' NOT NULL,
	cache TEXT DEFAULT 'use' NOT NULL CONSTRAINT ck_runs_cache CHECK (cache = 'use' OR cache = 'write'),
	learned TEXT DEFAULT '{}' NOT NULL,
	fixed_checksum INTEGER,
	checksum INTEGER,
	row_counts TEXT,
	CONSTRAINT pk_runs PRIMARY KEY (run_key),
	CONSTRAINT ck_runs_state CHECK (state = 'pending' OR state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled'),
	CONSTRAINT ck_runs_stopping CHECK (stopping = '' OR stopping = 'fail_fast' OR stopping = 'timed_out' OR stopping = 'cancel' OR stopping = 'kill'),
	CONSTRAINT uq_runs_run_id UNIQUE (run_id),
	CONSTRAINT fk_runs_graph_digest FOREIGN KEY(graph_digest) REFERENCES graphs (graph_digest)
);

CREATE INDEX ix_runs_created_at ON runs (created_at, run_id);

CREATE TABLE artifacts (
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	role TEXT NOT NULL,
	name TEXT NOT NULL,
	digest TEXT NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_artifacts PRIMARY KEY (run_key, path, role, name, digest),
	CONSTRAINT ck_artifacts_role CHECK (role = 'in' OR role = 'out'),
	CONSTRAINT fk_artifacts_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE INDEX ix_artifacts_digest ON artifacts (digest);

CREATE TABLE attempts (
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	number INTEGER NOT NULL,
	state TEXT NOT NULL,
	executor TEXT NOT NULL,
	amounts TEXT NOT NULL,
	submitted_at INTEGER NOT NULL,
	started_at INTEGER,
	ended_at INTEGER,
	duration_us INTEGER NOT NULL,
	worker TEXT NOT NULL,
	outcome TEXT,
	failure TEXT,
	cpu_ms FLOAT NOT NULL,
	memory_bytes_peak INTEGER NOT NULL,
	log_file TEXT,
	log_offset INTEGER,
	log_size_bytes INTEGER,
	stop_at INTEGER,
	input_bytes INTEGER DEFAULT '0' NOT NULL,
	gpu_memory_bytes_peak INTEGER DEFAULT '0' NOT NULL,
	gpu_percent_mean FLOAT DEFAULT '0' NOT NULL,
	disk_bytes_peak INTEGER DEFAULT '0' NOT NULL,
	reads TEXT DEFAULT '{}' NOT NULL,
	outside TEXT DEFAULT '[]' NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_attempts PRIMARY KEY (run_key, path, number),
	CONSTRAINT ck_attempts_state CHECK (state = 'submitted' OR state = 'started' OR state = 'ended'),
	CONSTRAINT ck_attempts_outcome CHECK (outcome = 'succeeded' OR outcome = 'failed' OR outcome = 'timed_out' OR outcome = 'out_of_memory' OR outcome = 'lost' OR outcome = 'cancelled' OR outcome = 'skipped' OR outcome = 'not_yet' OR outcome = 'refused' OR outcome = 'input_lost' OR outcome = 'output_invalid'),
	CONSTRAINT fk_attempts_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE TABLE claims (
	"key" TEXT NOT NULL,
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	CONSTRAINT pk_claims PRIMARY KEY ("key"),
	CONSTRAINT fk_claims_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE TABLE exhibits (
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	number INTEGER NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	artifact TEXT NOT NULL,
	at INTEGER NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_exhibits PRIMARY KEY (run_key, path, number, kind, name),
	CONSTRAINT ck_exhibits_kind CHECK (kind = 'figure' OR kind = 'table'),
	CONSTRAINT fk_exhibits_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE TABLE inbox (
	message_key INTEGER NOT NULL,
	message_id TEXT NOT NULL,
	run_key INTEGER NOT NULL,
	kind TEXT NOT NULL,
	posted_at INTEGER NOT NULL,
	body TEXT NOT NULL,
	consumed_at INTEGER,
	CONSTRAINT pk_inbox PRIMARY KEY (message_key),
	CONSTRAINT ck_inbox_kind CHECK (kind = 'submit' OR kind = 'cancel'),
	CONSTRAINT uq_inbox_message_id UNIQUE (message_id),
	CONSTRAINT fk_inbox_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE INDEX ix_inbox_waiting ON inbox (run_key) WHERE consumed_at IS NULL;

CREATE TABLE journal (
	run_key INTEGER NOT NULL,
	first_sequence INTEGER NOT NULL,
	last_sequence INTEGER NOT NULL,
	at INTEGER NOT NULL,
	entries TEXT NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_journal PRIMARY KEY (run_key, first_sequence),
	CONSTRAINT ck_journal_sequence CHECK (last_sequence >= first_sequence),
	CONSTRAINT fk_journal_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE TABLE leases (
	run_key INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	host TEXT NOT NULL,
	boot_id TEXT NOT NULL,
	pid INTEGER NOT NULL,
	process_started INTEGER NOT NULL,
	token TEXT NOT NULL,
	expires_at INTEGER,
	CONSTRAINT pk_leases PRIMARY KEY (run_key),
	CONSTRAINT fk_leases_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE TABLE metrics (
	metric_key INTEGER NOT NULL,
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	number INTEGER NOT NULL,
	name TEXT NOT NULL,
	value FLOAT,
	step INTEGER,
	at INTEGER NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_metrics PRIMARY KEY (metric_key),
	CONSTRAINT fk_metrics_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
);

CREATE INDEX ix_metrics_path ON metrics (run_key, path);

CREATE TABLE progress (
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	number INTEGER NOT NULL,
	done INTEGER NOT NULL,
	total INTEGER,
	text TEXT NOT NULL,
	at INTEGER NOT NULL,
	checksum INTEGER,
	CONSTRAINT pk_progress PRIMARY KEY (run_key, path, number),
	CONSTRAINT fk_progress_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

CREATE TABLE task_runs (
	run_key INTEGER NOT NULL,
	path TEXT NOT NULL,
	component TEXT NOT NULL,
	state TEXT NOT NULL,
	cause TEXT NOT NULL,
	changed_at INTEGER NOT NULL,
	origin TEXT,
	outputs TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	failed_count INTEGER NOT NULL,
	oom_count INTEGER NOT NULL,
	lost_count INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	ready_at INTEGER,
	retry_at INTEGER,
	started_at INTEGER,
	ended_at INTEGER,
	detail TEXT NOT NULL,
	"key" TEXT,
	checksum INTEGER,
	CONSTRAINT pk_task_runs PRIMARY KEY (run_key, path),
	CONSTRAINT ck_task_runs_state CHECK (state = 'waiting' OR state = 'ready' OR state = 'running' OR state = 'backoff' OR state = 'succeeded' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled'),
	CONSTRAINT ck_task_runs_origin CHECK (origin = 'computed' OR origin = 'cached'),
	CONSTRAINT fk_task_runs_run_key FOREIGN KEY(run_key) REFERENCES runs (run_key)
)
 WITHOUT ROWID;

INSERT INTO alembic_version (version_num) VALUES ('0004');
