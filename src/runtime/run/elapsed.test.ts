import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { abortAfter } from "./elapsed.ts";

const day = 24 * 60 * 60;

describe("abortAfter", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test.each([0, 30, 60 * day])("aborts after %d seconds and not before", (seconds) => {
    const controller = new AbortController();
    abortAfter(controller, seconds);
    vi.advanceTimersByTime(Math.max(0, 1000 * seconds - 1));
    expect(controller.signal.aborted).toBe(seconds === 0);
    vi.advanceTimersByTime(1);
    expect(controller.signal.aborted).toBe(true);
  });

  test("sets no timer for an infinite time", () => {
    abortAfter(new AbortController(), Number.POSITIVE_INFINITY);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([1, 60 * day])("does not abort after %d seconds if it was canceled", (seconds) => {
    const controller = new AbortController();
    const cancel = abortAfter(controller, seconds);
    vi.advanceTimersByTime(40 * day * 1000 * (seconds > 1 ? 1 : 0));
    cancel();
    expect(vi.getTimerCount()).toBe(0);
    expect(controller.signal.aborted).toBe(false);
  });
});
