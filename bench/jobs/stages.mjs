/**
 * Loaded into the process of a command (`node --import`): writes the processor time of its stages as JSON to the file in PITH_STAGES. A stage is the one
 * that the job reports; "start" is everything before the first one, in all processes.
 */
import childProcess from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const file = process.env.PITH_STAGES;
/** Seconds of a tick of /proc (USER_HZ). */
const tick = 0.01;
const children = new Set();
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
      if (message?.event?.kind === "stage") finish(message.event.name);
    });
  };
  syncBuiltinESMExports();
  process.on("exit", () => {
    finish("end");
    const { user, system } = process.cpuUsage();
    stages.set("start", (stages.get("start") ?? 0) + (user + system) / 1e6);
    writeFileSync(file, JSON.stringify(Object.fromEntries(stages)));
  });
}
