import { describe, expect, it } from "vitest";
import { bytesSource } from "#platform";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { createRunner } from "../../runtime/run/runner.ts";
import { findStates, parseState, setStates } from "../batches/states.ts";
import { frames, memory } from "../index.ts";
import { parsePreprocessingSpec } from "../sidecars/preprocessing-spec.ts";
import { datasetOptionsFor } from "../sidecars/sidecars.ts";
import { openSounds } from "../sources/open.ts";
import { openWav, type Sound } from "./wav.ts";

interface Written {
  readonly kind?: number;
  readonly channels?: number;
  readonly bits?: number;
  readonly rate?: number;
  /** Bytes of the samples according to the header (default: their true size). */
  readonly claimed?: number;
  readonly extra?: Uint8Array;
}

function chunk(id: string, bytes: Uint8Array, length = bytes.length): number[] {
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, length, true);
  return [...new TextEncoder().encode(id), ...size, ...bytes, ...(bytes.length % 2 === 1 ? [0] : [])];
}

function wav(samples: Uint8Array, written: Written = {}): Uint8Array {
  const { kind = 1, channels = 1, bits = 16, rate = 16000, claimed, extra } = written;
  const format = new Uint8Array(16);
  const view = new DataView(format.buffer);
  view.setUint16(0, kind, true);
  view.setUint16(2, channels, true);
  view.setUint32(4, rate, true);
  view.setUint32(8, (rate * channels * bits) / 8, true);
  view.setUint16(12, (channels * bits) / 8, true);
  view.setUint16(14, bits, true);
  const body = [
    ...new TextEncoder().encode("WAVE"),
    ...chunk("fmt ", format),
    ...(extra === undefined ? [] : chunk("LIST", extra)),
    ...chunk("data", samples, claimed),
  ];
  return Uint8Array.from(chunk("RIFF", Uint8Array.from(body)));
}

async function values(bytes: Uint8Array): Promise<number[]> {
  const sound = await openWav(bytesSource(bytes, "s.wav"));
  return Array.from(await sound.read(0, sound.length));
}

function bytesOf(array: Int16Array | Int32Array | Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(array.buffer);
}

function floats(dense: Dense | undefined): number[] {
  return dense?.type === "float32" ? Array.from(dense.data) : [];
}

describe("openWav", () => {
  it("reads integers of 8 to 32 bits and floats as values from −1 to 1", async () => {
    expect(await values(wav(Uint8Array.of(0, 128, 192), { bits: 8 }))).toEqual([-1, 0, 0.5]);
    expect(await values(wav(bytesOf(Int16Array.of(-32768, 0, 16384))))).toEqual([-1, 0, 0.5]);
    const triples = Uint8Array.of(0, 0, 0x80, 0, 0, 0x40, 1, 0, 0);
    expect(await values(wav(triples, { bits: 24 }))).toEqual([-1, 0.5, 2 ** -23]);
    expect(await values(wav(bytesOf(Int32Array.of(-(2 ** 31), 2 ** 30)), { bits: 32 }))).toEqual([-1, 0.5]);
    expect(await values(wav(bytesOf(Float32Array.of(0.25, -0.75)), { kind: 3, bits: 32 }))).toEqual([0.25, -0.75]);
    expect(await values(wav(bytesOf(Float64Array.of(0.25)), { kind: 3, bits: 64 }))).toEqual([0.25]);
  });

  it("averages channels, skips other chunks, and reads to the end if the length is unset", async () => {
    const stereo = bytesOf(Int16Array.of(16384, 0, -32768, 32767));
    const [first, second = 1] = await values(wav(stereo, { channels: 2, extra: Uint8Array.of(1, 2, 3) }));
    expect(first).toBe(0.25);
    expect(second).toBeCloseTo(-0.5 / 32768, 10);
    expect(await values(wav(bytesOf(Int16Array.of(16384)), { claimed: 0xffffffff }))).toEqual([0.5]);
  });

  it.each([
    [
      "a wrong length",
      wav(new Uint8Array(8), { claimed: 4000 }),
      "its header declares 4000 bytes of samples, the file has 8",
    ],
    ["a truncated file", wav(new Uint8Array(8)).slice(0, 40), "is truncated|has no samples"],
    ["12 bits", wav(new Uint8Array(8), { bits: 12 }), "samples of 12 bits in format 1 are not supported"],
    ["a compressed format", wav(new Uint8Array(8), { kind: 85 }), "samples of 16 bits in format 85 are not supported"],
    ["no channels", wav(new Uint8Array(8), { channels: 0 }), "0 channels"],
    ["an empty file", new Uint8Array(), "is not a WAV file"],
    ["a file of another format", new TextEncoder().encode("ID3 an mp3 file"), "is not a WAV file"],
  ])("rejects %s", async (_, bytes, message) => {
    await expect(values(bytes)).rejects.toThrow(new RegExp(message));
  });
});

const ramp = (length: number, name = "ramp", rate = 16000): Sound => ({
  name,
  rate,
  length,
  read: (start, end) => Promise.resolve(Float32Array.from({ length: end - start }, (_, at) => start + at + 1)),
});

async function all(sounds: readonly Sound[], size: number, shuffle?: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  const options = shuffle === undefined ? { size } : { size, shuffle };
  for await (const batch of frames("f", sounds, { frame: 4, context: 2 }).batches(options)) batches.push(batch);
  return batches;
}

describe("frames", () => {
  it("returns frames in order with context, and silence before and after a sound", async () => {
    const [first, second] = await all([ramp(5), ramp(2)], 2);
    expect(floats(first?.audio)).toEqual([0, 0, 1, 2, 3, 4, 3, 4, 5, 0, 0, 0]);
    expect([first?.begin?.data, second?.begin?.data]).toEqual([Uint8Array.of(1, 0), Uint8Array.of(1)]);
    expect(floats(second?.audio)).toEqual([0, 0, 1, 2, 0, 0]);
  });

  it("shuffles whole files only", async () => {
    const sounds = [1, 2, 3, 4, 5].map((count) => ramp(4 * count));
    const begins = async (seed?: number): Promise<string> =>
      (await all(sounds, 100, seed)).map(({ begin }) => Array.from(begin?.data as Uint8Array).join("")).join("");
    expect(await begins()).toBe("110100100010000");
    const shuffled = await begins(3);
    expect(shuffled).not.toBe(await begins());
    const files = shuffled.split(/(?=1)/).map((one) => one.length);
    expect(files.toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(await begins(3)).toBe(shuffled);
  });

  it("rejects no sounds, and a sample rate other than the model's", () => {
    expect(() => frames("f", [ramp(5, "a.wav", 44100)], { frame: 4, rate: 16000 })).toThrow(
      "a.wav has a sample rate of 44100 Hz: the model takes 16000 Hz.",
    );
    expect(() => frames("f", [], { frame: 4 })).toThrow("holds no sound");
  });
});

describe("recurrent states", () => {
  /** Adds its inputs to a state of N×1; a second state counts steps. */
  const counter = `opset 21
graph (x: float32[n, 1], sum0: float32[n, 1], count_in: float32[1, n, 1]) -> (y: float32[n, 1], count_out: float32[1, n, 1], sumn: float32[n, 1]) {
  one: float32[1] = [1]
  sumn = Add(x, sum0)
  count_out = Add(count_in, one)
  y = Mul(sumn, one)
}`;

  it("guesses states by type, shape and name for inputs that the data lacks", () => {
    const model = parseModel(counter);
    const expected = [
      { input: "sum0", output: "sumn" },
      { input: "count_in", output: "count_out" },
    ];
    expect(findStates(model, ["x"]).toSorted((a, b) => b.input.localeCompare(a.input))).toEqual(expected);
    expect(findStates(model, ["x", "sum0", "count_in"])).toEqual([]);
    const single = parseModel("opset 21 graph (x: float32[n, 1]) -> (y: float32[n, 1]) {\n y = Neg(x)\n}");
    expect(findStates(single, ["data"])).toEqual([]);
  });

  it("stores stated states with the model, and rejects unknown inputs and outputs", () => {
    const model = parseModel(counter);
    setStates(model, [parseState("y=sum0")]);
    expect(findStates(model.clone(), ["x", "count_in"])).toEqual([{ input: "sum0", output: "y" }]);
    const wrong = [{ input: "sum9", output: "y" }];
    expect(() => setStates(model, wrong)).toThrow('no input "sum9" to carry a state, only x, sum0');
    expect(() => setStates(model, [{ input: "sum0", output: "z" }])).toThrow('no output "z"');
    for (const text of ["", "=x", "x=", "x"]) expect(() => parseState(text)).toThrow("expected output=input");
  });

  it("carries states across samples and batches, and resets them where the data requests it", async () => {
    const x: Dense = { type: "float32", dims: [5, 1], data: Float32Array.of(1, 2, 3, 10, 20) };
    const begin: Dense = { type: "bool", dims: [5], data: Uint8Array.of(1, 0, 0, 1, 0) };
    const runner = await createRunner(createEngine(), parseModel(counter), "steps");
    const sums: number[] = [];
    const counts: number[] = [];
    for await (const batch of memory("steps", { x, begin }).batches({ size: 2 })) {
      const outputs = await runner.run(batch);
      sums.push(...Array.from(outputs.y?.data ?? [], Number));
      counts.push(...Array.from(outputs.count_out?.data ?? [], Number));
    }
    await runner.release();
    expect(sums).toEqual([1, 3, 6, 10, 30]);
    expect(counts).toEqual([1, 2, 3, 1, 2]);
  });
});

it.each([
  ["input: float32[1, 160]", "", { frame: 160 }],
  ["input: float32[batch, samples], state: float32[2, batch, 4], sr: int64[]", "", undefined],
  ["input: float32[batch, samples]", "frame=512 context=64 rate=16000", { frame: 512, context: 64, rate: 16000 }],
])("reads sound for (%s) and %j in the frames %j", async (inputs, stated, expected) => {
  const model = parseModel(`opset 21\ngraph (${inputs}) -> (output: float32[...]) {\n  output = Neg(input)\n}`);
  const beside = { preprocessing: undefined, tokenizer: undefined, classes: undefined, architecture: undefined };
  const reading = datasetOptionsFor(model, beside, parsePreprocessingSpec(stated));
  expect(reading.frames).toEqual(expected);
  if (expected === undefined)
    await expect(openSounds("speech", [], reading)).rejects.toMatchObject({
      code: "E_DATA",
      hint: expect.stringContaining('`preprocess: "frame=512 context=64 rate=16000"`'),
    });
});

it("parsePreprocessingSpec reads settings of texts and sound, and rejects invalid ones", () => {
  expect(parsePreprocessingSpec("length=32 frame=512 context=64 rate=8000")).toEqual({
    images: undefined,
    length: 32,
    frames: { frame: 512, context: 64, rate: 8000 },
  });
  expect(parsePreprocessingSpec("imagenet crop=224").images).toMatchObject({ name: "imagenet crop=224" });
  for (const text of ["length=0", "frame=x", "context=-1 frame=2", "length"]) {
    expect(() => parsePreprocessingSpec(text)).toThrow("whole number");
  }
  expect(() => parsePreprocessingSpec("context=64")).toThrow("require frame=…");
  expect(() => parsePreprocessingSpec("lenght=64")).toThrow('"lenght=64" is not understood');
});
