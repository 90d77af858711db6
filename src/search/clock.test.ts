import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { completeContext } from "../core/pass/run-pass.ts";
import { recipeFrom } from "../judge/recipe/check-recipe.ts";
import { memoryStore, type Store } from "../judge/steps/store.ts";
import { SearchClock } from "./clock.ts";
import type { SearchOptions } from "./search-setup.ts";

let store: Store;
beforeEach(() => {
  const results = memoryStore();
  store = { ...results, original: "digest", read: results.open };
  vi.useFakeTimers({ now: 0, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

const [a, b] = [0.1, 0.2].map((amount) => ({
  name: `prune ${amount}`,
  recipe: recipeFrom({ steps: [{ prune: { amount } }] }),
}));
if (a === undefined || b === undefined) throw new Error("two candidates");
const open = (options: SearchOptions = { minutes: 5 }, seed = 0): SearchClock =>
  new SearchClock(store, options, 100, completeContext({ seed }));
let [knownCount, spent] = [0, 0];
const begin = async (options?: SearchOptions, seed?: number): Promise<SearchClock> => {
  vi.advanceTimersByTime(1000);
  const clock = open(options, seed);
  ({ knownCount, spentSeconds: spent } = await clock.begin([a, b]));
  vi.advanceTimersByTime(1000);
  return clock;
};
/** A minute before now. */
const long = (): number => performance.now() - 60_000;

test("resumes a stopped search with its remaining time", async () => {
  const first = await begin();
  expect((await first.measure(a, long())).spent).toBeGreaterThanOrEqual(60);
  expect(knownCount).toBe(0);
  const second = await begin();
  expect(knownCount).toBe(1);
  expect(second.isDone(a.name)).toBe(false);
  const duration = await second.measure(a, performance.now());
  expect(duration.seconds).toBeGreaterThanOrEqual(60);
  expect([duration.spent, spent]).toEqual([duration.seconds, duration.seconds]);
});

test("a new search is not charged for a finished one, whose candidates it knows", async () => {
  const first = await begin();
  await first.measure(a, long());
  await first.end();
  const second = await begin();
  expect([a, b].map(({ name }) => second.isDone(name))).toEqual([true, false]);
  expect(spent).toBe(0);
  const duration = await second.measure(a, performance.now());
  expect(duration.seconds).toBeGreaterThanOrEqual(60);
  expect(duration.spent).toBeLessThan(60);
  // A removed step runs again, and its time counts for this search.
  expect((await second.measure(a, long())).spent).toBeGreaterThanOrEqual(60);
});

test.each([
  ["another goal", { minutes: 5, goal: { maxDrop: 0.02 } }],
  ["more minutes", { minutes: 50 }],
  ["another purpose", { minutes: 5, purpose: "speed" }],
] as const)("a search with %s has separate time, and resumes with it after a stop", async (_, options) => {
  await (await begin()).measure(a, long());
  const second = await begin(options);
  expect(second.isDone(a.name)).toBe(true);
  await second.measure(b, long());
  expect((await begin(options)).isDone(b.name)).toBe(false);
});

test("a resumed search is not charged for what another search tried since the stop", async () => {
  await (await begin()).measure(a, long());
  const other = await begin({ minutes: 50 });
  await other.measure(b, long());
  await other.end();
  const again = await begin();
  expect([a, b].map(({ name }) => again.isDone(name))).toEqual([false, true]);
  expect((await again.measure(b, performance.now())).spent).toBeLessThan(60);
});

test("distinguishes candidates with equal names and different options", async () => {
  const first = await begin();
  await first.measure({ ...a, recipe: b.recipe }, long());
  await first.end();
  expect((await begin()).isDone(a.name)).toBe(false);
});

test("shares nothing with a search of another seed", async () => {
  const first = await begin();
  await first.measure(a, long());
  await first.end();
  expect((await begin({ minutes: 5 }, 1)).isDone(a.name)).toBe(false);
});

test("charges the work of another process of the same search", async () => {
  const first = await begin();
  vi.setSystemTime(Date.now() + 60_000);
  await open().measure(a, long());
  expect((await first.measure(a, performance.now())).spent).toBeGreaterThanOrEqual(60);
});
