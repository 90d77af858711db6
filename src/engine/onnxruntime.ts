/**
 * ONNX Runtime: onnxruntime-node in Node, onnxruntime-web in a browser, chosen by the package's `imports`.
 *
 * The module is loaded when the first graph is: whoever only opens, inspects or prunes needs no runtime. A graph goes over as bytes.
 * Training steps run with graph optimization off (the optimizer merges recomputed nodes and bakes in constants, and gains nothing there)
 * and always without memory patterns, which cost half again as much memory.
 */
import type { InferenceSession, OnnxValue, Tensor as RuntimeTensor } from "onnxruntime-node";
import { PithError } from "../errors.ts";
import { allGraphs } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { encodeToBytes } from "../onnx/index.ts";
import type { Batch, DataType, Dense } from "../tensor/types.ts";
import type { Engine, LoadOptions, Session } from "./engine.ts";

type Runtime = typeof import("onnxruntime-node");

/** Types that cannot cross between JavaScript and the runtime: as weights they are fine, as inputs or outputs they abort the process. */
const notAtTheEdge: ReadonlySet<DataType> = new Set<DataType>([
  "int4",
  "uint4",
  "int2",
  "uint2",
  "float4e2m1",
  "bfloat16",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "float8e8m0",
  "complex64",
  "complex128",
]);

/**
 * The engine over the installed ONNX Runtime.
 * @throws PithError E_ENGINE_MISSING when the first graph is loaded and no runtime is installed.
 * @example
 * const session = await createEngine().load(model);
 * const { logits } = await session.run({ input: float32([1, 784], pixels) });
 * await session.release();
 */
export function createEngine(): Engine {
  let runtime: Promise<Runtime> | undefined;
  return {
    async load(model, options = {}) {
      runtime ??= loadRuntime();
      const ort = await runtime;
      checkEdges(model);
      const bytes = await encodeToBytes(model);
      try {
        return wrap(ort, await ort.InferenceSession.create(bytes, sessionOptions(options)));
      } catch (cause) {
        throw failure("ONNX Runtime refused the model", cause);
      }
    },
  };
}

async function loadRuntime(): Promise<Runtime> {
  try {
    return (await import("#onnxruntime")) as Runtime;
  } catch (cause) {
    throw new PithError("E_ENGINE_MISSING", "This step runs the model, and ONNX Runtime is not installed.", {
      hint: "npm install onnxruntime-node --ignore-scripts",
      cause,
    });
  }
}

function sessionOptions(options: LoadOptions): InferenceSession.SessionOptions {
  return {
    graphOptimizationLevel: options.optimize === false ? "disabled" : "all",
    enableMemPattern: false,
    // Errors come back as exceptions; the runtime's own lines on the terminal would say them twice.
    logSeverityLevel: 4,
    ...(options.threads === undefined || options.threads === 0 ? {} : { intraOpNumThreads: options.threads }),
  };
}

/** @throws PithError E_UNSUPPORTED if an input or output has a type that the runtime's JavaScript interface cannot carry. */
function checkEdges(model: Model): void {
  for (const graph of allGraphs(model.graph)) {
    if (graph.parent !== undefined) continue;
    for (const value of [...graph.feeds, ...graph.outputs]) {
      const type = value.type?.type;
      if (type !== undefined && notAtTheEdge.has(type)) {
        throw new PithError(
          "E_UNSUPPORTED",
          `"${value.name}" is ${type}: ONNX Runtime's JavaScript interface cannot carry it.`,
        );
      }
    }
  }
}

function wrap(ort: Runtime, session: InferenceSession): Session {
  const toRuntime = (name: string, dense: Dense): RuntimeTensor => {
    if (notAtTheEdge.has(dense.type)) {
      throw new PithError(
        "E_UNSUPPORTED",
        `"${name}" is ${dense.type}: ONNX Runtime's JavaScript interface cannot carry it.`,
      );
    }
    return new ort.Tensor(dense.type as "float32", dense.data as Float32Array, dense.dims);
  };
  let last: { readonly feeds: Batch; readonly tensors: Record<string, RuntimeTensor> } | undefined;
  return {
    async run(feeds, fetch) {
      const tensors: Record<string, RuntimeTensor> = {};
      for (const [name, dense] of Object.entries(feeds)) {
        // A buffer that is fed again and again (weights) is wrapped once.
        tensors[name] = last?.feeds[name] === dense ? (last.tensors[name] as RuntimeTensor) : toRuntime(name, dense);
      }
      last = { feeds, tensors };
      try {
        if (fetch === undefined || isNames(fetch)) {
          const results = await (fetch === undefined ? session.run(tensors) : session.run(tensors, fetch));
          return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, fromRuntime(name, value)]));
        }
        const buffers: Record<string, OnnxValue> = {};
        for (const [name, dense] of Object.entries(fetch)) buffers[name] = toRuntime(name, dense);
        await session.run(tensors, buffers);
        return fetch;
      } catch (cause) {
        throw cause instanceof PithError ? cause : failure("ONNX Runtime failed", cause);
      }
    },
    release: () => session.release(),
  };
}

function isNames(fetch: readonly string[] | Batch): fetch is readonly string[] {
  return Array.isArray(fetch);
}

function fromRuntime(name: string, value: OnnxValue): Dense {
  if (!("data" in value)) throw new PithError("E_UNSUPPORTED", `Output "${name}" is not a tensor.`);
  const { type, dims, data } = value;
  return { type, dims, data } as Dense;
}

function failure(what: string, cause: unknown): PithError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new PithError("E_ENGINE", `${what}: ${message.replace(/\s+/g, " ").trim()}`, { cause });
}
