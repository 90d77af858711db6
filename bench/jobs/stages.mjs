/**
 * Loaded into the process of a command (`node --import`): writes the processor time of its stages as JSON to the file in PITH_STAGES. A stage is the one
 * that the job reports; "start" is everything before the first one, in all processes. Announced durations follow in PITH_DURATIONS, each with the seconds
 * from then to the end.
 */
import childProcess from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const file = process.env.PITH_STAGES;
/** Seconds of a tick of /proc (USER_HZ). */
const tick = 0.01;
const children = new Set();
const announcements = [];
/** Seconds of processor time by stage, in order. A stage that occurs several times is one entry. */
const stages = new Map();
let [stage, before] = ["start", 0];

/** Returns the processor time of the children of this process. Ended ones count with their parent. */
function childSeconds() {
  const [ownTimes = [], ...childTimes] = [process.pid, ...children].map((pid) => {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The second field is the name in brackets. The times follow as fields 14 to 17: user, system, and both of ended children.
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      return fields.slice(11, 15).map((ticks) => Number(ticks) * tick);
    } catch {
      return [];
    }
  });
  const [, , user = 0, system = 0] = ownTimes;
  return childTimes.flat().reduce((sum, seconds) => sum + seconds, user + system);
}

function finish(next) {
  const now = childSeconds();
  stages.set(stage, (stages.get(stage) ?? 0) + Math.max(0, now - before));
  [stage, before] = [next, now];
}

if (file !== undefined) {
  const { fork } = childProcess;
  childProcess.fork = (...request) => {
    const child = fork(...request);
    children.add(child.pid);
    return child.on("message", (message) => {
      const { kind, id, name, text } = message?.event ?? {};
      if (kind === "stage") finish(name);
      if (id === "duration") announcements.push({ text, processor: childSeconds(), clock: performance.now() / 1000 });
    });
  };
  syncBuiltinESMExports();
  process.on("exit", () => {
    finish("end");
    const clock = performance.now() / 1000;
    const durations = announcements.map((told) => ({
      text: told.text,
      processor: before - told.processor,
      clock: clock - told.clock,
    }));
    if (process.env.PITH_DURATIONS !== undefined) writeFileSync(process.env.PITH_DURATIONS, JSON.stringify(durations));
    const { user, system } = process.cpuUsage();
    stages.set("start", (stages.get("start") ?? 0) + (user + system) / 1e6);
    writeFileSync(file, JSON.stringify(Object.fromEntries(stages)));
  });
}
