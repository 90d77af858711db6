/** Tests of saving with external data. Import this module after the disk is mocked. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { Model } from "../../../src/core/graph/model.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { temporaryFolder } from "../../temporary.ts";
import type { plan as planOfDisk, startPlan as startPlanOfDisk } from "./failing-disk.ts";

/** Defines the tests. @param plan plan of the mocked disk. */
export function savingOutside(plan: typeof planOfDisk, startPlan: typeof startPlanOfDisk) {
  let folder = "";
  const at = (name: string): string => join(folder, name);

  beforeEach(() => {
    startPlan(0);
    folder = temporaryFolder();
  });

  const weights = ["first", "second"];
  const lengthOf = (fill: number): number => 300 + 100 * fill;

  /** Returns a model whose weights all have the value `fill`. The layout differs between models, so that the data file of one does not fit another. */
  function model(fill: number): Model {
    const filled = new Model();
    const length = lengthOf(fill);
    for (const name of weights)
      filled.graph.addTensor(name, inMemory(float32([length], new Float32Array(length).fill(fill))));
    return filled;
  }

  /** Returns which model a complete file contains. */
  async function fillAt(name: string): Promise<number> {
    const { graph } = await open(at(name));
    const fills = new Set<number>();
    for (const weight of weights) {
      const dense = await graph.value(weight)?.tensor?.read();
      if (dense?.type !== "float32") throw new Error(`"${weight}" is not there`);
      for (const value of dense.data) fills.add(value);
      expect(dense.data.length).toBe(lengthOf(dense.data[0] ?? Number.NaN));
    }
    expect(fills.size).toBe(1);
    return [...fills][0] ?? Number.NaN;
  }

  /** Opens one model, gives it the weights of the other, and saves it. */
  async function changeAndSave(from: string, to: string): Promise<void> {
    const opened = await open(at(from));
    const other = model(2);
    for (const name of weights) {
      const [target, value] = [opened.graph.ownValue(name), other.graph.ownValue(name)];
      if (target !== undefined && value?.tensor !== undefined) target.tensor = value.tensor;
    }
    await save(opened, at(to), toSave);
  }

  const toSave = { externalData: true } as const;

  function testSaving(cases: readonly Case[]): void {
    describe.each(cases)("external data is saved $name", ({ prepare, write, before, after }) => {
      async function startAnew(): Promise<void> {
        startPlan(0);
        for (const name of await readdir(folder)) await rm(at(name));
        await prepare();
      }

      async function contents(): Promise<Readonly<Record<string, string>>> {
        const encoded: Record<string, string> = {};
        for (const name of (await readdir(folder)).sort())
          encoded[name] = (await readFile(at(name))).toString("base64");
        return encoded;
      }

      async function countSteps(): Promise<number> {
        await startAnew();
        startPlan(0);
        await write();
        const { length } = plan.log;
        startPlan(0);
        expect((await readdir(folder)).sort()).toEqual(after);
        expect(await fillAt("o.onnx")).toBe(2);
        return length;
      }

      async function expectWhole(): Promise<void> {
        for (const [name, fill] of Object.entries(before)) {
          const now = await fillAt(name);
          if (name === "o.onnx") expect([fill, 2]).toContain(now);
          else expect(now).toBe(fill);
        }
      }

      test.each([
        ["fails", {}],
        ["is gone", { forever: true }],
      ] as const)(
        "on a disk that %s at each step in turn: all is as it was, or the new model is there",
        async (_, how) => {
          const count = await countSteps();
          expect(count).toBeGreaterThanOrEqual(18);
          await startAnew();
          let old = await contents();
          for (let step = 1; step <= count; step++) {
            startPlan(step, how);
            const failed = await write().then(
              () => undefined,
              (error: unknown) => error,
            );
            startPlan(0);
            if (failed !== undefined) {
              expect(failed).toMatchObject({ code: "E_FILE", message: expect.stringMatching(/cannot be written/) });
              expect(await contents()).toEqual(old);
              continue;
            }
            expect(await fillAt("o.onnx")).toBe(2);
            await expectWhole();
            await write();
            expect((await readdir(folder)).sort()).toEqual(after);
            await startAnew();
            old = await contents();
          }
        },
      );

      test("by a process that is killed at each step in turn: every model is whole", async () => {
        const count = await countSteps();
        for (let step = 1; step <= count; step++) {
          await startAnew();
          startPlan(step, { killed: true });
          await write().catch(() => {});
          startPlan(0);
          await expectWhole();
          // The next save succeeds and leaves the expected file names.
          await write();
          expect(await fillAt("o.onnx")).toBe(2);
          await expectWhole();
          const kept = (await readdir(folder)).filter((name) => !/\.[0-9a-f]{12}(\.tmp)?$/.test(name));
          expect(kept.sort()).toEqual(after);
        }
      });
    });
  }

  return { at, folder: () => folder, model, fillAt, changeAndSave, toSave, testSaving };
}

export interface Case {
  readonly name: string;
  readonly prepare: () => Promise<void>;
  readonly write: () => Promise<void>;
  /** Models that exist before the write, by file name. */
  readonly before: Readonly<Record<string, number>>;
  /** File names after a complete write. */
  readonly after: readonly string[];
}
