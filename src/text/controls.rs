//! The clauses of the control map, in the standards' own words where they are in that language, and the names of the
//! standards.

texts! {
    gb(): "GB/T 22239-2019, Baseline for classified protection of cybersecurity, level 3", "GB/T 22239-2019 信息安全技术　网络安全等级保护基本要求（第三级）";
    gb_audit_a(): "Security audit shall be enabled and cover every user; important user actions and security events shall be audited.",
        "应启用安全审计功能，审计覆盖到每个用户，对重要的用户行为和重要安全事件进行审计。";
    gb_audit_b(): "Audit records shall hold the date and time of the event, the user, the type of event, whether it succeeded, and other information for the audit.",
        "审计记录应包括事件的日期和时间、用户、事件类型、事件是否成功及其他与审计相关的信息。";
    gb_audit_c(): "Audit records shall be protected and backed up regularly, so that they are not deleted, modified or overwritten unexpectedly.",
        "应对审计记录进行保护，定期备份，避免受到未预期的删除、修改或覆盖等。";
    gb_audit_d(): "The audit process shall be protected against unauthorized interruption.", "应对审计进程进行保护，防止未经授权的中断。";
    gb_operation_log(): "Operations shall be logged in detail: inspections, operation and maintenance records, parameters that are set or modified.",
        "应详细记录运维操作日志，包括日常巡检工作、运行维护记录、参数的设置和修改等内容。";
    gb_change_operation(): "Operations that change anything shall be strictly controlled: connections, components and parameters are changed only after approval, an audit log that cannot be altered is kept meanwhile, and the configuration database is updated afterwards.",
        "应严格控制变更性运维，经过审批后才可改变连接、安装系统组件或调整配置参数，操作过程中应保留不可更改的审计日志，操作结束后应同步更新配置信息库。";
    gb_tools(): "The use of operation tools shall be strictly controlled: they are connected only after approval, an audit log that cannot be altered is kept meanwhile, and sensitive data in them is deleted afterwards.",
        "应严格控制运维工具的使用，经过审批后才可接入进行操作，操作过程中应保留不可更改的审计日志，操作结束后应删除工具中的敏感数据。";
    gb_change_a(): "The need for a change shall be clear, and a change plan made from it; the plan is carried out only after review and approval.",
        "应明确变更需求，变更前根据变更需求制定变更方案，变更方案经过评审、审批后方可实施。";
    gb_change_b(): "A procedure for requesting and approving changes shall exist and control all of them, and how a change was carried out shall be recorded.",
        "应建立变更的申报和审批控制程序，依据程序控制所有的变更，记录变更实施过程。";
    gb_change_c(): "A procedure for stopping a change and recovering from a failed one shall exist, with its controls and responsibilities; the recovery is rehearsed where necessary.",
        "应建立中止变更并从失败变更中恢复的程序，明确过程控制方法和人员职责，必要时对恢复过程进行演练。";

    soc(): "SOC 2, Trust Services Criteria", "SOC 2 信托服务准则";
    soc_cc8_1(): "The entity authorizes, designs, develops or acquires, configures, documents, tests, approves, and implements changes to infrastructure, data, software, and procedures to meet its objectives.",
        "组织对基础设施、数据、软件和规程的变更进行授权、设计、开发或采购、配置、文档记录、测试、批准和实施，以实现其目标。";

    iso(): "ISO/IEC 27001:2022, Annex A", "ISO/IEC 27001:2022 附录 A";
    iso_8_15(): "Logs that record activities, exceptions, faults and other relevant events shall be produced, stored, protected and analysed.",
        "应产生、存储、保护和分析记录活动、异常、故障及其他相关事态的日志。";
    iso_8_32(): "Changes to information processing facilities and information systems shall be subject to change management procedures.",
        "信息处理设施和信息系统的变更应遵从变更管理规程。";

    pci(): "PCI DSS v4.0.1", "PCI DSS v4.0.1 支付卡行业数据安全标准";
    pci_6_5_1(): "Changes to all system components in the production environment are made according to established procedures: reason and description, security impact, documented approval by authorized parties, testing, and procedures to address failures and return to a secure state.",
        "生产环境中所有系统组件的变更均按既定规程进行：变更原因与说明、安全影响、授权方的书面批准、测试，以及处理失败并恢复到安全状态的规程。";
    pci_10_2_1(): "Audit logs are enabled and active for all system components.", "所有系统组件的审计日志均已启用并处于活动状态。";
    pci_10_2_1_2(): "Audit logs capture all actions taken by any individual with administrative access.", "审计日志记录具有管理权限的任何人员所执行的全部操作。";
    pci_10_2_1_6(): "Audit logs capture all initialization of new audit logs, and all starting, stopping, or pausing of the existing audit logs.",
        "审计日志记录新审计日志的初始化，以及现有审计日志的启动、停止和暂停。";
    pci_10_2_2(): "Audit logs record for each auditable event: user identification, type of event, date and time, success and failure indication, origination of event, identity or name of affected data, system component, resource, or service.",
        "审计日志对每个可审计事件记录：用户标识、事件类型、日期和时间、成功或失败、事件来源，以及受影响的数据、系统组件、资源或服务的标识或名称。";
    pci_10_3_1(): "Read access to audit log files is limited to those with a job-related need.", "审计日志文件的读取权限仅限于有工作需要的人员。";
    pci_10_3_2(): "Audit log files are protected to prevent modifications by individuals.", "审计日志文件受到保护，防止被个人篡改。";
    pci_10_3_3(): "Audit log files are promptly backed up to a secure, central, internal log server or other media that is difficult to modify.",
        "审计日志文件及时备份到安全的内部集中日志服务器或其他难以修改的介质。";
    pci_10_3_4(): "File integrity monitoring or change-detection mechanisms is used on audit logs to ensure that existing log data cannot be changed without generating alerts.",
        "对审计日志使用文件完整性监控或变更检测机制，确保已有日志数据被更改时产生告警。";
    pci_10_4_1(): "Audit logs are reviewed at least once daily.", "审计日志至少每天审查一次。";
    pci_10_5_1(): "Retain audit log history for at least 12 months, with at least the most recent three months immediately available for analysis.",
        "审计日志历史至少保留 12 个月，其中至少最近三个月可立即用于分析。";

    nist(): "NIST SP 800-53 Rev. 5", "NIST SP 800-53 第 5 版";
    nist_au_3(): "Audit records establish what type of event occurred, when and where it occurred, its source, its outcome, and the identity of any individuals, subjects, or objects associated with it.",
        "审计记录应能确定：发生了何种事件、何时发生、何处发生、事件来源、事件结果，以及与事件相关的个人、主体或客体的身份。";
    nist_au_8(): "Internal system clocks generate time stamps, which meet the granularity of measurement and use Coordinated Universal Time or include the offset from it.",
        "使用系统内部时钟为审计记录生成时间戳；时间戳满足规定的粒度，并采用协调世界时或包含与其的时差。";
    nist_au_9(): "Protect audit information and audit logging tools from unauthorized access, modification, and deletion.", "保护审计信息和审计工具，防止未经授权的访问、修改和删除。";
    nist_au_10(): "Provide irrefutable evidence that an individual (or process acting on behalf of an individual) has performed the actions.",
        "提供不可否认的证据，证明某人（或代表某人的进程）执行了相应操作。";
    nist_au_11(): "Retain audit records to provide support for after-the-fact investigations of incidents and to meet regulatory and organizational information retention requirements.",
        "保留审计记录，以支持事后调查，并满足法规和组织的信息留存要求。";
    nist_cm_3(): "Review proposed changes and approve or disapprove them with explicit consideration for security impact; document the decisions; implement approved changes; retain records; monitor and review.",
        "评审拟议的变更，在明确考虑安全影响的前提下批准或否决；记录决定；实施已批准的变更；保留记录；监督和审查。";

    itil(): "ITIL, change record", "ITIL 变更记录";
    itil_record(): "Id, initiator, date, description, reason, affected services, risks and countermeasures, priority, category, schedule, approvals, history of decisions, review after implementation.",
        "编号、发起人、日期、说明、原因、受影响的服务、风险与应对措施、优先级、类别、计划、审批、决策历史、实施后回顾。";
}
