/** Runs models on ONNX Runtime: onnxruntime-node, otherwise or on request onnxruntime-web. */
import type { InferenceSession, OnnxValue, Tensor as RuntimeTensor } from "onnxruntime-node";
import { type Batch, type Dense, errorMessage, operatorName, PithError, unsupportedError } from "#graph";
import { deliverOutputs, type Engine, isNames, type LoadOptions, requestedNames, type Session } from "./engine.ts";
import { reportRun } from "./observed-runs.ts";
import { type FoundRuntime, findRuntime, type RuntimeName, setWebThreads } from "./runtime.ts";
import { plainMessage, unknownOperator } from "./runtime-messages.ts";
import {
  addListOutput,
  ensureDistinctNames,
  requirePassableType,
  screenModel,
  screenSession,
  unsupportedTypeError,
} from "./screen-model.ts";
import { type Handover, handOverBuffers, handOverFiles } from "./weight-handover.ts";

export interface EngineOptions {
  /** The runtime (default: native if installed, otherwise WebAssembly). "webgpu" exists only in browsers. */
  readonly runtime?: RuntimeName;
}

/**
 * Creates an engine on the installed ONNX Runtime.
 * @throws PithError E_ENGINE_MISSING when the first graph is loaded and no runtime is installed.
 * @example
 * const session = await createEngine().load(model);
 * const { logits } = await session.run({ input: float32([1, 784], pixels) });
 * await session.release();
 */
export function createEngine(options: EngineOptions = {}): Engine {
  let runtimePromise: Promise<FoundRuntime> | undefined;
  return {
    async load(model, loadOptions = {}) {
      runtimePromise ??= findRuntime(options.runtime);
      const runtime = await runtimePromise;
      screenModel(model);
      const isWeb = runtime.name !== "native";
      const preparedModel = ensureDistinctNames(loadOptions.inPlace === true && !isWeb ? addListOutput(model) : model);
      if (isWeb) setWebThreads(runtime, loadOptions.threads);
      const handover = await (isWeb ? handOverBuffers(preparedModel) : handOverFiles(preparedModel));
      try {
        const session = await createSession(runtime, handover, loadOptions);
        return wrapSession(runtime, session, handover);
      } catch (error) {
        await handover.release();
        throw error;
      }
    },
  };
}

async function createSession(
  { ort, name }: FoundRuntime,
  handover: Handover,
  options: LoadOptions,
): Promise<InferenceSession> {
  const { bytes, folder, files = [] } = handover;
  let session: InferenceSession;
  try {
    session = await ort.InferenceSession.create(bytes, {
      ...(name === "native" ? {} : { executionProviders: [name] }),
      ...(name === "native" ? { extra: { session: configuration(folder, options) } } : {}),
      ...(files.length === 0 ? {} : { externalData: files }),
      ...sessionOptions(options, name),
    });
  } catch (cause) {
    throw unsupportedTypeError(errorMessage(cause)) ?? engineError("ONNX Runtime rejected the model", cause);
  }
  try {
    screenSession(session);
    return session;
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** Returns session configuration entries (onnxruntime_session_options_config_keys.h). */
function configuration(folder: string | undefined, options: LoadOptions): Readonly<Record<string, string>> {
  return {
    ...(folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }),
    ...(folder !== undefined && options.lean === true ? { disable_prepacking: "1" } : {}),
    ...(options.amongOthers === true ? { force_spinning_stop: "1" } : {}),
    ...(options.spinning === false ? { "intra_op.allow_spinning": "0" } : {}),
  };
}

function sessionOptions(options: LoadOptions, runtime: RuntimeName): InferenceSession.SessionOptions {
  // At level "all", WebAssembly loses an output that a convolution with a bias adds in place, such as an observed value.
  const level = runtime !== "native" && options.inPlace === true ? "extended" : "all";
  return {
    graphOptimizationLevel: options.optimize === false ? "disabled" : level,
    enableMemPattern: false,
    // Disables log lines about errors, which repeat the messages of exceptions.
    logSeverityLevel: 4,
    ...(options.threads === undefined || options.threads === 0 ? {} : { intraOpNumThreads: options.threads }),
  };
}

function wrapSession({ ort, name: runtime }: FoundRuntime, session: InferenceSession, handover: Handover): Session {
  const isNative = runtime === "native";
  const toRuntime = (name: string, dense: Dense): RuntimeTensor => {
    requirePassableType(name, dense.type);
    return new ort.Tensor(dense.type as "float32", dense.data as Float32Array, dense.dims);
  };
  const isTensor = ({ isTensor: tensorFlag }: { readonly isTensor: boolean }): boolean => tensorFlag;
  const tensorNames = session.outputMetadata.filter(isTensor).map(({ name }) => name);
  const nonTensorNames = session.outputNames.filter((name) => !tensorNames.includes(name));
  const listOutput = session.outputMetadata[0]?.isTensor === false ? session.outputNames[0] : undefined;
  // Does not fetch outputs that are not tensors, unless the model has no other outputs.
  const fetchedNames = tensorNames.length === 0 ? undefined : tensorNames;
  let previousRun: { readonly feeds: Batch; readonly tensors: Record<string, RuntimeTensor> } | undefined;
  let releasePromise: Promise<void> | undefined;
  return {
    async run(feeds, fetch) {
      const tensors: Record<string, RuntimeTensor> = {};
      for (const [name, dense] of Object.entries(feeds)) {
        // Reuses the runtime's tensor for a buffer that was also fed in the previous run (weights).
        tensors[name] =
          previousRun?.feeds[name] === dense ? (previousRun.tensors[name] as RuntimeTensor) : toRuntime(name, dense);
      }
      previousRun = { feeds, tensors };
      try {
        if (isNative && fetch !== undefined && !isNames(fetch)) {
          const buffers: Record<string, OnnxValue | null> = {};
          for (const [name, dense] of Object.entries(fetch)) buffers[name] = toRuntime(name, dense);
          if (listOutput !== undefined) buffers[listOutput] = null;
          await reportRun(() => session.run(tensors, buffers));
          return fetch;
        }
        const names = requestedNames(fetch) ?? fetchedNames;
        const results = await reportRun(() =>
          names === undefined ? session.run(tensors) : session.run(tensors, names),
        );
        const outputs = Object.entries(results).map(([name, value]) => [name, fromRuntime(name, value)] as const);
        return deliverOutputs(Object.fromEntries(outputs), fetch);
      } catch (cause) {
        if (cause instanceof PithError) throw cause;
        // The run has filled the buffers. It then failed at the sequence output, as intended (`addListOutput`).
        if (isNative && listOutput !== undefined && fetch !== undefined && !isNames(fetch) && isNonTensorError(cause))
          return fetch;
        if (nonTensorNames.length > 0 && isNonTensorError(cause)) throw nonTensorError(nonTensorNames, cause);
        throw engineError("ONNX Runtime failed", cause);
      }
    },
    release() {
      releasePromise ??= session.release().finally(() => handover.release());
      return releasePromise;
    },
  };
}

function isNonTensorError(cause: unknown): boolean {
  return /non.?tensor/i.test(errorMessage(cause));
}

function fromRuntime(name: string, value: OnnxValue): Dense {
  if (!("data" in value)) throw nonTensorError([name], undefined);
  const { type, dims, data } = value;
  return { type, dims, data } as Dense;
}

function nonTensorError(names: readonly string[], cause: unknown): PithError {
  const quotedNames = names.map((name) => `"${name}"`).join(", ");
  const sentence = `Output ${quotedNames} is a sequence or a map: ONNX Runtime's JavaScript interface carries only tensors.`;
  return unsupportedError(sentence, {
    hint: "Fetch the outputs that are tensors, or export the model without this one (skl2onnx: zipmap off).",
    cause,
  });
}

function engineError(summary: string, cause: unknown): PithError {
  const operator = unknownOperator(errorMessage(cause));
  const hint = `This runtime has no kernel for ${operator === undefined ? "" : operatorName(operator)}. Pruning, and storing weights as integers or float16, do not run the model.`;
  const options = operator === undefined ? { cause } : { cause, hint };
  return new PithError("E_ENGINE", `${summary}: ${plainMessage(errorMessage(cause))}.`, options);
}
