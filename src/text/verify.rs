//! Texts of `verify`: what a verification means.

texts! {
    // What else is worth knowing.
    clock_step(ms, seq): "the wall clock was moved by {ms} ms before event {seq}", "事件 {seq} 之前系统时钟被调整了 {ms} ms";
    journal(): "a journal exists beside the file; it is part of the ledger until the next writer opens it",
        "账本旁有日志文件（journal），在下次写入打开账本之前，它是账本的一部分";
    hot_journal(): "a crash left a hot journal; the ledger was verified without the unfinished commit",
        "崩溃留下了待回滚的日志（hot journal）；验证的是不含该未完成提交的账本";
    memory_behind(remembered): "the remembered head has {remembered} events; that is allowed",
        "本机的链头记录只到 {remembered} 个事件，属正常情况";
    copied(path, remembered): "this machine knows this ledger at {path}, with {remembered} events; the one here is a copy, or the ledger was moved",
        "副本或已移动：本机记录的该账本在 {path}，有 {remembered} 个事件";
    forgotten(): "this machine knows nothing of this ledger: it comes from another one, or what was remembered of it was removed",
        "本机没有该账本的链头记录：账本来自其他机器，或链头记录已被删除";
    blob_absent(sha256): "the content of blob {sha256} is absent", "数据块 {sha256} 的内容未保存在账本中";
    of_event(seq, what): "event {seq}: {what}", "事件 {seq}：{what}";
    holds(events): "SOUND: {events} events are chained; none was changed, removed, moved or inserted.",
        "完好：全部 {events} 个事件的哈希链连续，没有事件被修改、删除、调换或插入";
    reaches(level): "Scope of the proof: {level}.", "证明范围：{level}";
    chain_only(): "L0, the chain alone; whoever can write the file could have rewritten all of it",
        "L0，仅账本自身的哈希链；有该文件写权限的人可以整体重写";
    signed(): "L1, covered by a signed checkpoint", "L1，有签名检查点覆盖";
    remembered(): "L2, it also matches the head that this machine remembers; whoever can write both could replace both",
        "L2，与本机另存的链头记录吻合；但对账本和该记录都有写权限的人仍可一并替换";
    anchored(): "L3, a checkpoint of it is kept in another domain", "L3，检查点另存于其他系统";
    witnessed(): "L4, covered by a witness or a time stamp", "L4，有见证或时间戳覆盖";
    as_seen(events): "The first {events} events match the checkpoint that was kept elsewhere.",
        "前 {events} 个事件与另行保存的检查点一致";
    all_seen(): "No event is unanchored.", "没有未锚定的事件";
    unseen(events): "Not proven from outside this machine: the last {events} events (unanchored).",
        "尚无本机以外的证明：最后 {events} 个事件（未锚定）";
    keep_lines(command): "Next: keep these three lines as a file outside this machine; `{command}` proves later that these events were not changed:",
        "下一步：将下面三行存为文件，保存在本机以外；日后用 `{command}` 即可证明这些事件未被改动：";
    follows_one(): "1 checkpoint that covers it fails as a consequence", "覆盖该处的 1 个检查点因此也不吻合";
    follows(count): "{count} checkpoints that cover it fail as a consequence",
        "覆盖该处的 {count} 个检查点因此也不吻合";
    breaks(events, seq): "DAMAGED: the {events} events before it are valid; from event {seq} on nothing is proven.",
        "已损坏：之前的 {events} 个事件有效；从事件 {seq} 起无法证明";
    of_another(events): "NOT THE SAME LEDGER: these {events} events are chained correctly, but the checkpoint belongs to another ledger.",
        "不是同一个账本：这 {events} 个事件的哈希链连续，但检查点属于另一个账本";
    of_another_next(): "Next: check whether this is the right checkpoint file. If it is, the ledger was replaced: keep this copy for the investigation.",
        "下一步：确认检查点文件是否拿错。如果没有拿错，则账本已被调换：请保留此副本以备调查";
    not_as_given(events): "CHECKPOINT MISMATCH: these {events} events are chained correctly, but they do not match the given checkpoint.",
        "与检查点不符：这 {events} 个事件的哈希链连续，但与给出的检查点不吻合";
    either_or(): "Either events were removed or rewritten after the checkpoint was made, or the checkpoint file is mistyped: its size or its root.",
        "可能是检查点写下之后有事件被删除或改写，也可能是检查点文件抄写有误（事件数或根）";
    checkpoint_says(): "the checkpoint file says", "检查点文件";
    ledger_says(): "this ledger has", "本账本";
    events_and_root(size, root): "{size} events, root {root}", "{size} 个事件，根 {root}";
    not_as_given_next(): "Next: compare the file, character by character, with the three lines as they were kept (ticket, mail). If they are the same, write nothing to the ledger, and keep this copy for the investigation.",
        "下一步：将该文件与当初保存的三行原文（工单、邮件）逐字核对。若完全一致，则不要再写入账本，并保留此副本以备调查";
    disagrees(events): "DAMAGED: {events} events are chained correctly, but another part of the ledger is inconsistent; see above.",
        "已损坏：{events} 个事件的哈希链连续，但其他部分不一致，见上文";
    not_newest(events): "OUTDATED: these {events} events are chained correctly, but this machine remembers more events.",
        "不是最新副本：这 {events} 个事件的哈希链连续，但本机另存的链头记录有更多事件";
    not_remembered(events): "NOT AS REMEMBERED: these {events} events are chained correctly, but this machine remembers different ones.", "与链头记录不符：这 {events} 个事件的哈希链连续，但与本机另存的链头记录不同";
    damaged_next(): "Next: write nothing to it, keep this copy for the investigation, and restore the newest good copy.",
        "下一步：不要再写入，保留此副本以备调查，并恢复最新的完好副本";
    older_next(command): "Next: restore the newest copy; if there is none, record that this one is used from now on: {command}",
        "下一步：恢复最新的副本；若没有更新的副本，请用以下命令记录并以此副本继续：{command}";
}
