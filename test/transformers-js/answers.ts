/** Runs the models of a folder in transformers.js and returns their outputs. Works in Node and, bundled, in a browser. */
import { env, pipeline } from "@huggingface/transformers";

export interface Asked {
  /** Parent of the model folders: a path in Node, a URL in a browser. */
  readonly models: string;
  /** The folder of the model. */
  readonly name: string;
  readonly task: "text-classification" | "text-generation";
  readonly dtypes: readonly ("fp32" | "fp16" | "q8" | "int8" | "uint8" | "q4" | "q4f16" | "q2" | "q2f16")[];
  readonly texts: readonly string[];
  readonly device: "cpu" | "wasm";
  /** Maximum number of generated tokens (24). */
  readonly steps?: number;
}

/** The label or generated text for each input text: run individually, and in one padded batch. */
export interface Answers {
  readonly alone: readonly string[];
  readonly batch: readonly string[];
}

/** @returns The answers of each dtype. */
export async function answers({
  models,
  name,
  task,
  dtypes,
  texts,
  device,
  steps = 24,
}: Asked): Promise<Record<string, Answers>> {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = models;
  if (device === "wasm" && env.backends.onnx.wasm !== undefined)
    env.backends.onnx.wasm.wasmPaths = "/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/";
  const answersByDtype: Record<string, Answers> = {};
  for (const dtype of dtypes) {
    const options = { dtype, device };
    const settings = { max_new_tokens: steps, do_sample: false };
    const [ask, dispose] = await (async () => {
      if (task === "text-generation") {
        const run = await pipeline(task, name, options);
        return [async (given: readonly string[]) => flat(await run([...given], settings)), () => run.dispose()];
      }
      const run = await pipeline(task, name, options);
      return [async (given: readonly string[]) => flat(await run([...given])), () => run.dispose()];
    })();
    const alone: string[] = [];
    for (const text of texts) alone.push(...(await ask([text])));
    answersByDtype[dtype] = { alone, batch: await ask(texts) };
    await dispose();
  }
  return answersByDtype;
}

/** @returns The transcripts of sounds (16 kHz) by each dtype. */
export async function transcripts(
  { models, name, dtypes, device }: Pick<Asked, "models" | "name" | "dtypes" | "device">,
  sounds: readonly Float32Array[],
): Promise<Record<string, readonly string[]>> {
  env.allowRemoteModels = false;
  env.localModelPath = models;
  const transcriptsByDtype: Record<string, readonly string[]> = {};
  for (const dtype of dtypes) {
    const run = await pipeline("automatic-speech-recognition", name, { dtype, device });
    const texts: string[] = [];
    for (const sound of sounds) texts.push(...flat(await run(sound)));
    transcriptsByDtype[dtype] = texts;
    await run.dispose();
  }
  return transcriptsByDtype;
}

function flat(answer: unknown): readonly string[] {
  if (Array.isArray(answer)) return answer.flatMap(flat);
  const { label, generated_text: generatedText, text } = answer as Readonly<Record<string, string>>;
  return [label ?? generatedText ?? text ?? ""];
}
