import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { PithError } from "../../core/errors.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { indexed } from "../batches/indexed.ts";
import { streamOf } from "../batches/select.ts";
import {
  augmented,
  type Dataset,
  type IndexedDataset,
  imageFiles,
  mapBatches,
  memory,
  preprocess,
  presets,
  split,
  take,
  tokenize,
} from "../index.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import { createFeed, type FeedRound, prefetched } from "./feed.ts";
import { endWorkers, readyWorkers } from "./workers.ts";

const folder = temporaryFolder();
mkdirSync(join(folder, "images"));
/** Writes images of noise; the one at index `broken` is truncated. */
function images(count: number, broken = -1): IndexedDataset {
  const numbers = random(1, "images");
  const paths = Array.from({ length: count }, (_, at) => {
    const path = join(folder, "images", `${at === broken ? "broken" : ""}${at}.png`);
    const data = Uint8Array.from({ length: 3 * 12 * 10 }, () => numbers.integer(256));
    const file = encode({ width: 12, height: 10, data, channels: 3 });
    writeFileSync(path, at === broken ? file.subarray(0, 60) : file);
    return path;
  });
  const labels = paths.map((_, at) => at % 3);
  return imageFiles("images", paths, labels);
}

const input = (...dims: readonly number[]) => ({ name: "x", type: { type: "float32" as const, dims } });
const seen = preprocess(images(23), input(4, 3, 8, 8), { ...presets.imagenet, resize: 8 });

const vocabulary = Object.fromEntries(
  ["[UNK]", "[PAD]", "the", "cat", "sat", "on", "mat"].map((word, at) => [word, at]),
);
const tokenizer = await createTokenizer(
  "words",
  {
    model: { type: "WordLevel", vocab: vocabulary, unk_token: "[UNK]" },
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: null,
    decoder: null,
    added_tokens: [],
  },
  { pad_token: "[PAD]" },
  {},
);
const texts = memory("texts", {
  text: { type: "string", dims: [5], data: ["the cat", "sat on the mat", "the dog", "", "mat mat mat"] },
  label: { type: "int64", dims: [5], data: BigInt64Array.of(0n, 1n, 0n, 1n, 1n) },
});
const ids = { name: "input_ids", type: { type: "int64" as const, dims: [2, 6] } };

/** Returns the batches of each round. */
async function read(data: Dataset, rounds: readonly FeedRound[], threads?: number): Promise<Batch[][]> {
  const feed = createFeed(data, rounds, threads === undefined ? {} : { threads });
  const received: Batch[][] = [];
  try {
    for (const _ of rounds) {
      const batches: Batch[] = [];
      for await (const batch of feed.batches()) batches.push(batch);
      received.push(batches);
    }
  } finally {
    await feed.close();
  }
  return received;
}

const cases: readonly (readonly [string, Dataset])[] = [
  ["images that are decoded, resized and normalized", seen],
  ["images that are augmented", augmented(seen, { crop: 2, flip: true }, { seed: 5 })],
  ["a split of augmented images, changed by a function", augmentedPart()],
  ["texts that are tokenized", tokenize(texts, [ids], { tokenizer })],
  ["tokens without a tokenizer", tokenize(memory("ids", { tokens: tokensOf(7) }), [ids], { language: true })],
  ["a stream", augmented(streamOf(seen), { crop: 1, flip: true }, { seed: 2 })],
  ["arrays without preparation", texts],
];

function augmentedPart(): Dataset {
  const [part] = split(seen, [0.7], 3);
  const changed = mapBatches(part ?? seen, ({ label: _, ...batch }) => batch);
  return augmented(changed, { crop: 1, flip: true }, { seed: 9 });
}

function tokensOf(rows: number) {
  return {
    type: "int64" as const,
    dims: [rows, 6],
    data: BigInt64Array.from({ length: rows * 6 }, (_, at) => BigInt(at)),
  };
}

describe.each(cases)("a feed of %s", (_, data) => {
  const rounds: readonly FeedRound[] = [
    { size: 4, shuffle: 1 },
    { size: 4, shuffle: 2, dropLast: true },
    { size: 4, shuffle: 2, skip: 1 },
  ];

  test("gives the dataset's batches bit for bit with any number of threads", async () => {
    const unthreaded: Batch[][] = [];
    for (const { skip = 0, ...round } of rounds) {
      const batches: Batch[] = [];
      for await (const batch of data.batches(round)) batches.push(batch);
      unthreaded.push(batches.slice(skip));
    }
    expect(unthreaded.flat().length).toBeGreaterThan(2);
    for (const threads of [0, 1, 2]) {
      expect(await read(data, rounds, threads), `${threads} threads`).toEqual(unthreaded);
      expect(readyWorkers()).toBeGreaterThanOrEqual(threads);
    }
  });
});

describe("a feed that skips batches", () => {
  test("does not read skipped samples from datasets with random access", async () => {
    const asked: number[][] = [];
    const data = indexed("counted", 10, (positions) => {
      asked.push([...positions]);
      return { x: { type: "float32", dims: [positions.length], data: Float32Array.from(positions) } };
    });
    const [batches] = await read(
      take(
        mapBatches(data, (batch) => batch),
        9,
      ),
      [{ size: 3, skip: 2 }],
      0,
    );
    expect(asked).toEqual([[6, 7, 8]]);
    expect(batches).toHaveLength(1);
  });

  test("reads, but does not prepare, skipped batches of a stream", async () => {
    const prepared: number[] = [];
    const numbers: Dataset = {
      name: "numbers",
      count: undefined,
      async *batches({ size }) {
        for (let at = 0; at < 4; at++)
          yield { x: { type: "float32", dims: [size], data: new Float32Array(size).fill(at) } };
      },
    };
    const data = mapBatches(numbers, (batch, { samples }) => {
      prepared.push(samples[0] ?? -1);
      return batch;
    });
    const [batches] = await read(data, [{ size: 2, skip: 3 }], 0);
    expect(prepared).toEqual([6]);
    expect(batches?.map(({ x }) => x?.data[0])).toEqual([3]);
  });
});

describe("a feed on errors", () => {
  const damaged = preprocess(images(9, 6), input(2, 3, 8, 8), { ...presets.unit, resize: 8 });

  test.each([0, 2])("throws the error at the position of its batch, with %i threads", async (threads) => {
    const received: Batch[] = [];
    const run = async (): Promise<void> => {
      for await (const batch of prefetched(damaged, { size: 2 }, { threads })) received.push(batch);
    };
    const error: unknown = await run().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PithError);
    expect(error).toMatchObject({
      code: "E_DATA",
      message: expect.stringMatching(/broken6\.png: the PNG image is damaged or cut off/),
      hint: "Remove it from the data, or replace it.",
    });
    expect(received).toHaveLength(3);
  });

  test("throws an error of the source at its batch, and closes the source", async () => {
    const diary: string[] = [];
    const failing: Dataset = {
      name: "failing",
      count: undefined,
      async *batches() {
        try {
          yield { x: { type: "float32", dims: [1], data: Float32Array.of(1) } };
          throw new Error("broken");
        } finally {
          diary.push("closed");
        }
      },
    };
    const used: Batch[] = [];
    const run = async (): Promise<void> => {
      for await (const batch of prefetched(failing, { size: 1 })) used.push(batch);
    };
    await expect(run()).rejects.toThrow("broken");
    expect(used).toHaveLength(1);
    expect(diary).toEqual(["closed"]);
  });
});

test("prefetched closes the source if its user stops early", async () => {
  const diary: string[] = [];
  const source: Dataset = {
    name: "source",
    count: undefined,
    async *batches({ size }) {
      try {
        for (let at = 0; at < 50; at++) {
          diary.push(`read ${at}`);
          yield { image: { type: "uint8", dims: [size, 3, 8, 8], data: new Uint8Array(size * 192).fill(at) } };
        }
      } finally {
        diary.push("closed");
      }
    },
  };
  const data = preprocess(source, input(2, 3, 8, 8), presets.unit);
  for await (const _ of prefetched(data, { size: 2 }, { threads: 1 })) break;
  expect(diary.at(-1)).toBe("closed");
  expect(diary.length).toBeLessThan(8);
});

test("a feed copies arrays that the source reuses", async () => {
  const bytes = new Uint8Array(2 * 192);
  const source: Dataset = {
    name: "source",
    count: undefined,
    async *batches() {
      for (let at = 0; at < 12; at++) yield { image: { type: "uint8", dims: [2, 3, 8, 8], data: bytes.fill(at) } };
    },
  };
  const data = preprocess(source, input(2, 3, 8, 8), presets.raw);
  const [batches = []] = await read(data, [{ size: 2 }], 2);
  expect(batches.map(({ x }) => x?.data[0])).toEqual(Array.from({ length: 12 }, (_, at) => at));
});

test("a feed runs preparations with functions in the calling thread", async () => {
  const local = { ...presets.unit, note: () => "mine" };
  const data = preprocess(images(4), input(2, 3, 8, 8), { ...local, resize: 8 });
  expect(await read(data, [{ size: 2 }], 1)).toEqual(await read(data, [{ size: 2 }], 0));
});

describe("threads of a feed", () => {
  /** Returns single samples whose read takes the given time by the clock. */
  function slow(milliseconds: number, advance: (by: number) => void): Dataset {
    const images = memory("slow", { image: { type: "uint8", dims: [9, 3, 8, 8], data: new Uint8Array(9 * 192) } });
    const read = mapBatches(images, (batch) => {
      advance(milliseconds);
      return batch;
    });
    return preprocess(read, input(1, 3, 8, 8), presets.unit);
  }

  /** Uses one sample per second by the clock until threads run, at most `most` samples. */
  async function threadsAfter(milliseconds: number, most: number): Promise<number> {
    endWorkers();
    let time = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => time);
    try {
      const endless = Array.from({ length: most }, () => ({ size: 1 }));
      const data = slow(milliseconds, (by) => {
        time += by;
      });
      const feed = createFeed(data, endless);
      for (let used = 0; used < most && readyWorkers() === 0; ) {
        for await (const _ of feed.batches()) {
          time += 1000;
          used++;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      }
      await feed.close();
      return readyWorkers();
    } finally {
      clock.mockRestore();
    }
  }

  test("starts threads if reading takes long compared with the use of a batch", async () => {
    expect(await threadsAfter(500, 20_000)).toBeGreaterThan(0);
  });

  test("starts no threads if reading takes less than 2 % of the time", async () => {
    expect(await threadsAfter(15, 60)).toBe(0);
  });

  test("starts threads again after threads were ended that were still starting", async () => {
    endWorkers();
    const interrupted = read(seen, [{ size: 4 }], 1);
    endWorkers();
    await interrupted;
    await read(seen, [{ size: 4 }], 1);
    expect(readyWorkers()).toBe(1);
  });

  test("runs supported preparations in threads only", async () => {
    const settings = { owner: "images", input: input(2, 3, 8, 8), how: { ...presets.unit, resize: 8 } };
    const here = (): Batch => {
      throw new Error("done here");
    };
    const data = mapBatches(images(4), here, { kind: "preprocess", settings });
    expect(await read(data, [{ size: 2 }], 1)).toEqual(
      await read(preprocess(images(4), settings.input, settings.how), [{ size: 2 }], 0),
    );
  });

  test("continues in the calling thread if the threads end", async () => {
    const expected = await read(seen, [{ size: 4 }], 0);
    const feed = createFeed(seen, [{ size: 4 }], { threads: 2 });
    const received: Batch[] = [];
    for await (const batch of feed.batches()) {
      if (received.length === 1) endWorkers();
      received.push(batch);
    }
    await feed.close();
    expect([received]).toEqual(expected);
  });
});

test("prefetched copies arrays that a function for samples reuses", async () => {
  const array = new Float32Array(1);
  const slow = indexed("mine", 20, async (positions) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    array.set(positions);
    return { x: { type: "float32", dims: [positions.length], data: array } };
  });
  const received: number[] = [];
  for await (const { x } of prefetched(slow, { size: 1 })) {
    await new Promise((resolve) => setTimeout(resolve, 30));
    received.push(Number(x?.data[0]));
  }
  expect(received).toEqual(Array.from({ length: 20 }, (_, at) => at));
});
