import { readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { temporaryPathFor } from "../../../core/platform/node-leftovers.ts";
import { eventContext, type JobEvent } from "../../../runtime/job/job.ts";
import { describeCompleteFile, removeTemporaries } from "./announced-files.ts";

function announce(paths: readonly string[]): Extract<JobEvent, { kind: "writes" }> {
  const events: JobEvent[] = [];
  eventContext({ signal: new AbortController().signal, temporary: "" }, (event) => events.push(event)).writes(paths);
  const [event] = events;
  if (event?.kind !== "writes") throw new Error("nothing was announced");
  return event;
}

test("removes temporary files of the announcing process, of the model and of its weights, and no others", () => {
  const folder = temporaryFolder();
  const announcedPaths = ["out.onnx", "out.onnx_data"].map((name) => temporaryPathFor(join(folder, name)));
  const other = temporaryPathFor(join(folder, "other.onnx"));
  const ofAnotherProcess = temporaryPathFor(join(folder, "out.onnx")).replace(`-${process.pid}.`, "-1.");
  for (const path of [...announcedPaths, other, ofAnotherProcess]) writeFileSync(path, "");
  removeTemporaries(announce([join(folder, "out.onnx"), join(folder, "missing", "out.html")]));
  expect(readdirSync(folder).toSorted()).toEqual([other, ofAnotherProcess].map((path) => basename(path)).toSorted());
});

test("describes an announced file as complete once it is written", () => {
  const path = join(temporaryFolder(), "out.onnx");
  const announced = announce([path, `${path}.gz`]);
  expect(describeCompleteFile([announced])).toBeUndefined();
  writeFileSync(path, "");
  expect(describeCompleteFile([announced])).toBe(`"${path}" is complete.`);
  expect(describeCompleteFile([])).toBeUndefined();
});
