//! Units that scenarios add to the guest.

/// The agent, as a service.
const AGENT: &str = "[Unit]
Description=Conversation with the host
DefaultDependencies=no
After=local-fs.target sysinit.target
Conflicts=shutdown.target

[Service]
ExecStart=/usr/bin/e2e-agent --service
Environment=PATH=/usr/sbin:/usr/bin

[Install]
WantedBy=multi-user.target
";

/// A service of luod.
const KEPT: &str = "[Unit]
After=luod.service
Requires=luod.service

[Service]
ExecStart=/usr/bin/e2e-client service --name kept --item full:4 --item sealed
StandardOutput=append:/run/kept.log

[Install]
WantedBy=multi-user.target
";

/// As many services of luod in one process as the unit's instance says.
const MANY: &str = "[Unit]
After=luod.service

[Service]
ExecStart=/usr/bin/e2e-client service --name s --count %i --item one-byte --quiet
StandardOutput=append:/run/many.log
LimitNOFILE=65536
TasksMax=infinity

[Install]
WantedBy=multi-user.target
";

/// A service of luod with as many files as the unit's instance says.
const FILES: &str = "[Unit]
After=luod.service

[Service]
ExecStart=/usr/bin/e2e-client service --name file --numbered %i --quiet
StandardOutput=append:/run/files.log

[Install]
WantedBy=multi-user.target
";

/// A service that keeps a file in systemd's store.
const IN_STORE: &str = "[Service]
Type=notify
ExecStart=/usr/bin/e2e-client in-store
StandardOutput=append:/run/in-store.log
FileDescriptorStoreMax=4
FileDescriptorStorePreserve=yes

[Install]
WantedBy=multi-user.target
";

/// A service without privileges that keeps a file in a session that systemd makes for it.
const IN_SESSION: &str = "[Service]
Type=notify
User=daemon
ExecStart=/usr/bin/e2e-client in-session
StandardOutput=append:/run/in-session.log
FileDescriptorStoreMax=4
FileDescriptorStorePreserve=yes
LUOSession=state
Restart=on-failure
RestartForceExitStatus=77
RestartSec=10ms

[Install]
WantedBy=multi-user.target
";

/// Ends with a shutdown before luod does, and takes the loaded kernel along.
const UNLOADER: &str = "[Unit]
After=luod.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
ExecStop=/usr/bin/e2e-client unload
";

/// Takes the device while everything ends, and outlives the final kill.
const INTRUDER: &str = "[Unit]
DefaultDependencies=no
IgnoreOnIsolate=yes
SurviveFinalKillSignal=yes

[Service]
ExecStart=/usr/bin/e2e-client hold-device --after /run/shutdown-begins
KillMode=none
SendSIGKILL=no
";

/// Tells of the shutdown when luod has done its part and is ended.
const SIGNPOST: &str = "[Unit]
Before=luod.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
ExecStop=/usr/bin/touch /run/shutdown-begins
";

/// By name.
pub(crate) const ALL: [(&str, &str); 9] = [
    ("e2e-agent.service", AGENT),
    ("kept.service", KEPT),
    ("many@.service", MANY),
    ("files@.service", FILES),
    ("in-store.service", IN_STORE),
    ("in-session.service", IN_SESSION),
    ("unloader.service", UNLOADER),
    ("intruder.service", INTRUDER),
    ("signpost.service", SIGNPOST),
];

/// What every boot starts, beside luod.
pub(crate) const ENABLED: [&str; 4] = [
    "e2e-agent.service",
    "kept.service",
    "in-store.service",
    "in-session.service",
];
