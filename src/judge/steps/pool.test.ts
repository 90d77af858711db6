/** Tests which jobs of a pool start, which are awaited, and which are dropped. */
import { expect, test } from "vitest";
import { Pool, type PoolJob } from "./pool.ts";

/** Returns a pool whose jobs end when the test calls `end`. */
function poolOf(jobs: number) {
  const begun: string[] = [];
  const ends = new Map<string, (isOver?: boolean) => void>();
  const handles = new Map<string, PoolJob>();
  const pool = new Pool({
    maxRunning: () => jobs,
    runOne: (name, job) =>
      new Promise((resolve) => {
        begun.push(name);
        handles.set(name, job);
        ends.set(name, (isOver = true) => resolve(isOver));
        job.stopSignal.addEventListener("abort", () => resolve(true));
      }),
  });
  const end = async (name: string, isOver?: boolean): Promise<void> => {
    ends.get(name)?.(isOver);
    await settled();
  };
  return { pool, begun, handles, end };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
const { signal } = new AbortController();

test("starts the round first, then other jobs, and awaits the round only", async () => {
  const { pool, begun, end } = poolOf(2);
  let isReady = false;
  const counts: string[] = [];
  const progress = (done: number, total: number) => counts.push(`${done}/${total}`);
  const round = pool.runRound(["a", "b"], ["c", "d"], { signal, progress }).then(() => {
    isReady = true;
  });
  expect(begun).toEqual(["a", "b"]);
  await end("a");
  expect(begun).toEqual(["a", "b", "c"]);
  expect(isReady).toBe(false);
  await end("b");
  await round;
  expect(counts).toEqual(["0/2", "1/2", "2/2"]);
  expect(begun).toEqual(["a", "b", "c"]);
  void pool.runRound(["c"], ["d"], { signal });
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("starts no job that is no longer wanted, and does not restart a running job", async () => {
  const { pool, begun, handles, end } = poolOf(2);
  const first = pool.runRound(["a", "a2"], ["b", "c"], { signal });
  await end("a2");
  expect(begun).toEqual(["a", "a2", "b"]);
  await end("a");
  await first;
  const second = pool.runRound(["b", "x"], ["a", "y"], { signal });
  expect(handles.get("b")?.isWanted()).toBe(true);
  expect(begun).toEqual(["a", "a2", "b", "x"]);
  await end("x");
  expect(begun).toEqual(["a", "a2", "b", "x", "y"]);
  await end("b");
  await second;
  void pool.runRound(["z"], [], { signal });
  expect(handles.get("y")?.isWanted()).toBe(false);
  expect(begun).toEqual(["a", "a2", "b", "x", "y", "z"]);
});

test("starts a job that was dropped before it began if it is wanted again", async () => {
  const { pool, begun, end } = poolOf(2);
  const first = pool.runRound(["a"], ["b"], { signal });
  await end("a");
  await first;
  const second = pool.runRound(["c"], [], { signal });
  await end("b", false);
  await end("c");
  await second;
  void pool.runRound(["b"], [], { signal });
  expect(begun).toEqual(["a", "b", "c", "b"]);
});

test("stops all jobs on the signal, also after the round, and starts none afterwards", async () => {
  const { pool, begun, handles, end } = poolOf(2);
  const stop = new AbortController();
  const round = pool.runRound(["a"], ["b", "c"], stop);
  await end("a");
  await round;
  stop.abort();
  expect(handles.get("b")?.stopSignal.aborted).toBe(true);
  await pool.close();
  await pool.runRound(["z"], [], { signal });
  expect(begun).toEqual(["a", "b"]);
});

test("throws the error of a job that was not awaited at the next wait", async () => {
  const pool = new Pool({
    maxRunning: () => 2,
    runOne: (name) => (name === "b" ? Promise.reject(new TypeError("broken")) : settled().then(() => true)),
  });
  await expect(
    pool.runRound(["a"], ["b"], { signal }).then(() => pool.runRound(["c"], [], { signal })),
  ).rejects.toThrow("broken");
});

test("close waits for all jobs, and then throws the error of one", async () => {
  let hasEnded = false;
  const pool = new Pool({
    maxRunning: () => 2,
    async runOne(name, { stopSignal }) {
      if (name === "fails") throw new Error("failed");
      await new Promise((resolve) => stopSignal.addEventListener("abort", resolve));
      await settled();
      hasEnded = true;
      return true;
    },
  });
  await expect(pool.runRound(["fails", "slow"], [], { signal })).rejects.toThrow("failed");
  await expect(pool.close()).rejects.toThrow("failed");
  expect(hasEnded).toBe(true);
});
