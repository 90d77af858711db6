import { basename } from "node:path";
import { asPithError, Miss } from "../../../core/errors.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import type { FileFigures } from "../../folder/records.ts";
import type { FolderOptions } from "../../folder/run.ts";
import type { Session } from "../command.ts";
import { speedBeside } from "../speed.ts";

/** Times like `bench` on each target. If that is impossible or the machine is busy, it logs the reason. */
export function timer(
  targets: readonly TargetName[],
  set: Settings,
  session: Session,
): NonNullable<FolderOptions["time"]> {
  const never = new Set<TargetName>();
  return async ({ source, out }) => {
    const speeds: NonNullable<FileFigures["speeds"]>[number][] = [];
    let work: number | undefined;
    for (const target of targets.filter((name) => !never.has(name))) {
      const untimed = (why: string): void => session.terminal.note("timing", why, "warning");
      try {
        const found = await speedBeside(source, out, { target, set }, session);
        if (target === targets[0]) work = found.work;
        if (found.speed instanceof Miss)
          untimed(`${basename(out)}: speed on ${target} not measured, ${found.speed.reason}`);
        else {
          const { median: factor, low, high, milliseconds, where } = found.speed;
          speeds.push({ target, where, factor, low, high, milliseconds });
        }
      } catch (error) {
        const { code, message } = asPithError(error);
        untimed(`${basename(out)}: ${message}`);
        // The target cannot time any file.
        if (code === "E_UNSUPPORTED") never.add(target);
      }
    }
    return { speeds, work };
  };
}
