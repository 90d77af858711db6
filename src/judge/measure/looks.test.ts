import { describe, expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { earlyLevel } from "../../core/math/confidence-interval.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { type Goal, judge } from "../compare/goal.ts";
import { openStore } from "../steps/store.ts";
import { Evaluator, MeasurementRecords } from "./evaluator.ts";
import type { Rows } from "./holdout.ts";
import { Looks } from "./looks.ts";
import type { PairedResult } from "./paired-metrics.ts";

const model = (nodes: string) =>
  parseModel(`opset 21\ngraph (x: float32[n, 2]) -> (logits: float32[n, 2]) {\n  ${nodes}\n}`);
const original = model("logits = Identity(x)");
const equal = model("logits = Abs(x)");
/** Names the other class for all samples. */
const broken = model("logits = Neg(x)");
/** Names the first class for all samples: a third is lost. */
const constant = model("b: float32[2] = [9, 0]\n  logits = Add(x, b)");
const goal = { maxDrop: 0.01 };
const options = { batch: 64 };

/** The classes of the samples are a, a, b, a, a, b and so on. */
function taskOf(count: number) {
  const named = Array.from({ length: count }, (_, sample) => sample % 3 < 2);
  const x = float32([count, 2], Float32Array.from(named.flatMap((one) => (one ? [2, 1] : [1, 2]))));
  const label = int64(
    [count],
    BigInt64Array.from(named, (one) => (one ? 0n : 1n)),
  );
  return { test: memory("samples", { x, label }), metric: accuracy() };
}

const looksAt = (first: number, count = 1000) =>
  new Looks(original, taskOf(count), options, completeContext({}), first);

/** Settles a candidate that certainly misses the goal. */
const look = (looks: Looks, candidate: Model, { maxDrop }: Goal = goal, known?: Rows) =>
  looks.look(
    candidate,
    ({ comparison }: PairedResult) => judge(comparison, { maxDrop }).drop.low > maxDrop,
    earlyLevel,
    known,
  );

const countOf = ({ rows }: { readonly rows: Rows }): number => rows.answers.predicted.length;

describe("interim looks", () => {
  test("end if the result is settled", async () => {
    const { rows, compared } = await look(looksAt(100), broken);
    expect(rows.answers.predicted).toHaveLength(100);
    expect(compared.comparison).toMatchObject({ original: { value: 1, count: 100 }, candidate: { value: 0 } });
  });

  test("check once whether the outputs depend on the batch", async () => {
    const { engine, ...context } = completeContext({});
    let single = 0;
    const counting = async (...request: Parameters<typeof engine.load>) => {
      const session = await engine.load(...request);
      const run: typeof session.run = (feeds, fetch) => {
        single += Number(feeds.x?.dims[0] === 1);
        return session.run(feeds, fetch);
      };
      return { ...session, run };
    };
    const looks = new Looks(original, taskOf(256), options, { ...context, engine: { load: counting } }, 64);
    await looks.measureFirst();
    await looks.measureAll();
    expect(single).toBe(16);
  });

  test("double the number of samples until the result is settled", async () => {
    const counts: number[] = [];
    const { rows, compared } = await looksAt(100).look(equal, ({ answers }) => {
      counts.push(answers.predicted.length);
      return false;
    });
    expect(counts).toEqual([100, 200, 400, 800]);
    expect({ rows, compared }).toEqual(await looksAt(Number.POSITIVE_INFINITY).look(equal, () => false));
  });

  test("continue from known rows if another goal does not settle the result", async () => {
    const looks = looksAt(100);
    const { rows } = await look(looks, broken);
    expect((await look(looks, broken, goal, rows)).rows).toBe(rows);
    const complete = await look(looks, broken, { maxDrop: 1 }, rows);
    expect(complete).toEqual(await looks.look(broken, undefined));
    expect(countOf(complete)).toBe(1000);
  });

  test("give the same result if all rows are known", async () => {
    const looks = looksAt(100);
    const { rows } = await looks.look(broken, undefined);
    const again = await look(looks, broken, goal, rows);
    expect(again.compared).toEqual((await look(looks, broken)).compared);
    expect(again.rows).toBe(rows);
  });

  test("are skipped if nothing can settle the result, or if no more samples exist", async () => {
    expect(countOf(await looksAt(100).look(broken, undefined))).toBe(1000);
    expect(countOf(await look(looksAt(100, 100), broken))).toBe(100);
  });
});

test("completes an evaluation that ended at a look if all samples are requested", async () => {
  const store = await openStore(original, {});
  const evaluate = async (place: typeof store, firstLook?: number) => {
    const named = { name: "original", ...options, choice: true, firstLook };
    const evaluator = await Evaluator.create(
      new MeasurementRecords(place, "test"),
      taskOf(1000),
      named,
      completeContext({}),
    );
    return evaluator.measure(await place.keep(constant), "constant", goal);
  };
  const fresh = await openStore(original, {});
  const early = await evaluate(store, 128);
  expect(early.answers.predicted.length).toBeLessThan(128);
  const kept = (await new MeasurementRecords(store, "test").read(early.measured.sha256)) ?? expect.fail();
  expect(countOf(kept)).toBe(128);
  expect(await evaluate(store)).toEqual(await evaluate(fresh));
  // A look that was continued equals one measured at once, in the default order.
  expect(await evaluate(store, 128)).toEqual(early);
  expect(await evaluate(fresh, 128)).toEqual(early);
  for (const folder of [store, fresh]) await folder.release();
});

test("a stopped run does not stop another that needs the sizes of the same file", async () => {
  const net = model("w: float32[2, 2] = random(seed 7)\n  logits = MatMul(x, w)");
  const controller = new AbortController();
  const [stopped, other] = await Promise.all(
    [controller.signal, new AbortController().signal].map(async (signal) => {
      const records = new MeasurementRecords(await openStore(net, {}), "sizes");
      return Evaluator.create(records, taskOf(100), { name: "original" }, completeContext({ signal }));
    }),
  );
  const [first, second] = [stopped, other].map((evaluator) =>
    evaluator?.withCompressedSizes(evaluator.original.measured),
  );
  controller.abort();
  await expect(first).rejects.toMatchObject({ code: "E_STOPPED" });
  await expect(second).resolves.toMatchObject({ sampled: false });
});
