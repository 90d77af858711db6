/** Waves of six shapes with noise, drawn by a formula: series of 128 numbers. */
import { memory } from "pith/data";
import * as nn from "pith/nn";
import { npzBytes } from "../../src/data/files/npy.ts";
import { createRandom, type Example, encodeText } from "./example.ts";

const length = 128;

/** Returns the value at a phase from 0 to 1, by the name of the shape. */
const shapes: Readonly<Record<string, (phase: number) => number>> = {
  sine: (phase) => Math.sin(2 * Math.PI * phase),
  square: (phase) => (phase < 0.5 ? 1 : -1),
  triangle: (phase) => 4 * Math.abs(phase - 0.5) - 1,
  sawtooth: (phase) => 2 * phase - 1,
  pulse: (phase) => (phase < 0.15 ? 1 : -0.2),
  rectified: (phase) => 2 * Math.abs(Math.sin(Math.PI * phase)) - 1,
};

function drawWaves(count: number, seed: number) {
  const random = createRandom(seed);
  const names = Object.keys(shapes);
  const data = new Float32Array(count * length);
  const labels = new BigInt64Array(count);
  for (let sample = 0; sample < count; sample++) {
    const label = Math.floor(random() * names.length);
    labels[sample] = BigInt(label);
    const shape = shapes[names[label] ?? ""] ?? Math.sin;
    const [periods, shift, height, noise] = [2 + 6 * random(), random(), 0.5 + random(), 0.2 + 0.5 * random()];
    for (let index = 0; index < length; index++) {
      const phase = (shift + (periods * index) / length) % 1;
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      // Multiples of 1/256 take half the bytes in the zip.
      data[sample * length + index] = Math.round(256 * (height * shape(phase) + noise * normal)) / 256;
    }
  }
  return {
    input: { type: "float32", dims: [count, 1, length], data },
    label: { type: "int64", dims: [count], data: labels },
  } as const;
}

export async function waves(): Promise<Example> {
  const model = nn.network(
    {
      conv1: nn.conv1d(1, 24, 7, { padding: 3 }),
      relu1: nn.relu(),
      conv2: nn.conv1d(24, 48, 7, { padding: 3, stride: 2 }),
      relu2: nn.relu(),
      conv3: nn.conv1d(48, 64, 7, { padding: 3, stride: 2 }),
      relu3: nn.relu(),
      pool: nn.globalAveragePool(),
      flatten: nn.flatten(),
      fc: nn.linear(64, Object.keys(shapes).length),
    },
    { input: ["batch", 1, length], seed: 1 },
  );
  const samples = drawWaves(500, 2);
  const config = { id2label: Object.fromEntries(Object.keys(shapes).entries()) };
  return {
    model,
    training: memory("waves", drawWaves(6000, 1)),
    test: memory("waves", samples),
    epochs: 8,
    files: { "samples.npz": await npzBytes(samples), "config.json": encodeText(JSON.stringify(config)) },
  };
}
