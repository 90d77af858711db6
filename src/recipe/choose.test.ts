import { afterEach, describe, expect, test, vi } from "vitest";
import type { Engine } from "../engine/engine.ts";
import { isUnsteady, latency, workOf } from "../evaluate/latency.ts";
import { parseModel } from "../graph/text.ts";
import { random } from "../tensor/random.ts";
import { type Contender, choose } from "./choose.ts";

const result = (bytes: number | undefined, work?: number, sound = true): Contender => ({ bytes, work, sound });

test("the smallest sound result is kept", () => {
  const some = [result(300), result(200), result(100, 1, false), result(undefined)];
  expect(choose(some, false)).toEqual({ place: 1, by: "size" });
  expect(choose(some.slice(1), false)).toEqual({ place: 0, by: "only" });
});

test("of results within a tenth of the smallest, one that takes less than half of its processor time is kept", () => {
  const heavy = [result(292, 2.5), result(299, 2.2)];
  expect(choose([result(310, 0.5), ...heavy], false)).toEqual({ place: 0, by: "processor time", over: 1 });
  expect(choose([result(310, 1.3), ...heavy], false)).toEqual({ place: 1, by: "size" });
  expect(choose([result(310, 0.5, false), ...heavy], false)).toEqual({ place: 1, by: "size" });
  expect(choose([result(330, 0.5), ...heavy], false)).toEqual({ place: 1, by: "size" });
});

test("without processor times the smallest is kept, in whatever order they were tried, and it is said that nothing else counted", () => {
  expect(choose([result(310), result(292), result(299)], false)).toEqual({ place: 1, by: "size", unweighed: true });
  expect(choose([result(292), result(299), result(310)], false)).toEqual({ place: 0, by: "size", unweighed: true });
  expect(choose([result(310), result(200)], false)).toEqual({ place: 1, by: "size" });
});

test("of files of the same size the one that lost least is kept", () => {
  expect(choose([{ ...result(300), drop: 0.004 }, { ...result(300), drop: 0.001 }, result(400)], false)?.place).toBe(1);
});

test("nothing sound: nothing is kept, or by force the best there is", () => {
  const none = [result(300, 1, false), result(200, 1, false), result(undefined, undefined, false)];
  expect(choose(none, false)).toBeUndefined();
  expect(choose(none, true)).toEqual({ place: 1, by: "force" });
  expect(choose([], true)).toBeUndefined();
});

test("nothing sound: the one that lost least may still be kept on the test samples, unless it was refused", () => {
  const lost = (bytes: number, drop: number | undefined): Contender => ({ bytes, work: 1, sound: false, drop });
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], false)).toEqual({ place: 1, by: "loss" });
  expect(choose([lost(100, 0.03), lost(200, 0.02), result(300)], false)).toEqual({ place: 2, by: "only" });
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], true)).toEqual({ place: 2, by: "force" });
});

describe("the same is kept whatever else the machine does:", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  interface Machine {
    /** Milliseconds that a run waits that works for so many, in so many operators that wait for each other. */
    readonly waits: (work: number, operators: number, draw: () => number) => number;
    readonly hasProcessorTime: boolean;
  }
  const quiet: Machine = { waits: () => 0, hasProcessorTime: true };
  const busy: Machine = {
    waits: (_, operators, draw) => (draw() < 0.5 ? 0 : operators * 4 * draw()),
    hasProcessorTime: true,
  };
  const noisy: Machine = { waits: (work, _, draw) => work * 20 * draw() ** 4, hasProcessorTime: true };
  const machines: Readonly<Record<string, Machine>> = { quiet, busy, noisy };

  /** The original, then candidates: bytes, milliseconds of work of a run, and operators that wait. */
  const heavy = [
    { bytes: 1000, work: 2, operators: 20 },
    { bytes: 310, work: 1.2, operators: 40 },
    { bytes: 292, work: 5, operators: 25 },
    { bytes: 299, work: 4.2, operators: 60 },
  ];
  const alike = heavy.map((one, place) => ({ ...one, work: [2, 2.8, 2.1, 2.4][place] ?? 0 }));

  async function kept(models: typeof heavy, { waits, hasProcessorTime }: Machine, seed: number) {
    const draws = random(seed, "machine");
    const draw = (): number => draws.uniform();
    let [clock, worked] = [0, 0];
    vi.spyOn(performance, "now").mockImplementation(() => clock);
    vi.spyOn(process, "cpuUsage").mockImplementation(() => ({ user: hasProcessorTime ? 1000 * worked : 0, system: 0 }));
    let loaded = 0;
    const engine: Engine = {
      async load() {
        const { work, operators } = models[loaded++] ?? { work: 0, operators: 0 };
        return {
          async run() {
            // Caches that others have filled.
            const own = work * (1 + 0.2 * draw());
            worked += own;
            clock += own + waits(own, operators, draw);
            return {};
          },
          async release() {},
        };
      },
    };
    const graphs = models.map(() =>
      parseModel("opset 21 graph (x: float32[1]) -> (y: float32[1]) { y = Identity(x) }"),
    );
    const { models: times } = await latency(engine, graphs, {}, { rounds: 15, threads: 1 });
    const contenders = models.slice(1).map(({ bytes }, place) => result(bytes, workOf(times, times[place + 1])));
    return { place: choose(contenders, false)?.place, unsteady: isUnsteady(times) };
  }

  test.each(Object.entries(machines))("%s", async (_, machine) => {
    for (let seed = 0; seed < 20; seed++) {
      const unsteady = machine !== quiet;
      expect(await kept(heavy, machine, seed)).toEqual({ place: 0, unsteady });
      expect(await kept(alike, machine, seed)).toEqual({ place: 1, unsteady });
      expect(await kept(heavy, { ...machine, hasProcessorTime: false }, seed)).toEqual({ place: 1, unsteady });
    }
  });
});
