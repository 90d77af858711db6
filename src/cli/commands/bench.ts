/** `pith bench`: latency, throughput, memory, load time and bytes of models, each against the first. */
import * as v from "valibot";
import { moduleBeside } from "../../job/job.ts";
import { defineCommand } from "../command.ts";
import type benchJob from "../jobs/bench.ts";
import type memoryJob from "../jobs/memory.ts";
import { bytes, duration, integer } from "../numbers.ts";

export default defineCommand({
  name: "bench",
  summary: "how fast models are, measured side by side, and what they weigh",
  arguments: [
    { name: "models.onnx", description: "models; the first is what the others are compared with", several: true },
  ],
  options: v.object({
    dim: v.optional(
      v.pipe(v.array(v.string()), v.description("size of a named dimension, else 1"), v.metadata({ value: "name=n" })),
      [],
    ),
    rounds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description("how often each model is timed")),
      30,
    ),
    threads: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.description("threads inside an operator; else as many as there are"),
      ),
    ),
  }),
  examples: ["bench model.onnx model.int8.onnx", "bench a.onnx b.onnx --dim batch=8,sequence=128 --threads 1"],
  async run(models, { dim, rounds, threads }, session) {
    const shared = { dims: dim, threads, seed: session.seed };
    const entry = (name: string): URL => moduleBeside(import.meta.url, `../jobs/${name}`);
    const { latency, sizes } = await session.job<typeof benchJob>(
      entry("bench"),
      { models, rounds, ...shared },
      "bench",
    );
    const memories: number[] = [];
    for (const model of models) {
      const memory = await session.job<typeof memoryJob>(entry("memory"), { model, ...shared }, `bench ${model}`);
      memories.push(memory);
    }
    const rows = models.map((model, index) => ({
      model,
      memory: memories[index] ?? 0,
      ...sizes[index],
      ...latency.models[index],
    }));
    return {
      data: { rounds: latency.rounds, repeats: latency.repeats, threads: latency.threads, models: rows },
      print(terminal) {
        const right = ["bytes", "brotli", "one run", "speed", "10–90 %", "load", "memory"];
        terminal.table(
          [{ title: "model" }, ...right.map((title) => ({ title, align: "right" as const }))],
          rows.map(({ model, bytes: size = 0, brotli, milliseconds, speedup, load = 0, memory }) => [
            model,
            bytes(size),
            brotli === undefined ? "–" : bytes(brotli),
            time(milliseconds?.median),
            factor(speedup?.median),
            `${factor(speedup?.low)}–${factor(speedup?.high)}`,
            duration(load),
            bytes(memory),
          ]),
        );
        terminal.line(
          `${integer(latency.rounds)} rounds of ${integer(latency.repeats)} runs, the models in turns, ${integer(latency.threads)} threads. Speed is against the first model, in the middle round; in eight of ten rounds it was within 10–90 %. Memory comes on top of the runtime's.`,
        );
      },
    };
  },
});

/** Of one run, in milliseconds: short ones need digits. */
function time(milliseconds = Number.NaN): string {
  if (milliseconds >= 100) return duration(milliseconds);
  return `${milliseconds.toPrecision(3)} ms`;
}

function factor(value = Number.NaN): string {
  return `${value.toFixed(2)} ×`;
}
