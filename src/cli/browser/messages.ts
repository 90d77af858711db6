/**
 * Orders to the page and its responses as bytes: JSON with offsets of tensors, followed by their elements.
 *
 *     4 bytes: length of the JSON   JSON   padding to 8   elements of each tensor, padded to 8
 */
import { isObject } from "../../data/plain-object.ts";
import type { LoadOptions } from "../../engine/index.ts";
import type { LatencyReport } from "../../evaluate/latency.ts";
import type { Fault } from "../../platform/serialized-error.ts";
import { bytesOf, bytesOfText, concatenated, isDense, viewBytes } from "../../tensor/dense.ts";
import type { Batch, Dense } from "../../tensor/types.ts";

export interface PageFacts {
  readonly browser: string;
  readonly version: string;
  readonly adapter?: Adapter;
  readonly threads: number;
}

export interface Adapter {
  /** "nvidia ampere", "google swiftshader" */
  readonly name: string;
  /** A software adapter's times say nothing about graphics cards. */
  readonly isSoftware: boolean;
  readonly float16: boolean;
}

export interface PageTiming {
  readonly rounds: number;
  readonly threads: number | undefined;
}

/** Models are identified by address, sessions by the number that loading returned. */
export type Order =
  | { readonly kind: "load"; readonly model: string; readonly options: LoadOptions }
  | {
      readonly kind: "run";
      readonly session: number;
      readonly feeds: Batch;
      readonly names: readonly string[] | undefined;
    }
  | { readonly kind: "release"; readonly session: number }
  | ({ readonly kind: "time"; readonly models: readonly string[]; readonly feeds: readonly Batch[] } & PageTiming);

export interface Answers {
  readonly load: number;
  readonly run: Batch;
  readonly release: null;
  readonly time: LatencyReport;
}

export type PageMessage =
  | { readonly kind: "ready"; readonly facts: PageFacts }
  | { readonly kind: "answer"; readonly answer: Answers[keyof Answers] }
  | { readonly kind: "fault"; readonly fault: Fault; readonly cause: string | undefined };

const word = 8;
type Numbers = Exclude<Dense, Dense<"string">>;
/** `at` is the byte offset after the JSON. */
type PackedTensor = Pick<Numbers, "type" | "dims"> & { readonly at: number; readonly bytes: number };

export function pack(content: Order | PageMessage): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let end = 0;
  const add = (bytes: Uint8Array): void => {
    const padding = new Uint8Array(-bytes.byteLength & (word - 1));
    parts.push(bytes, padding);
    end += bytes.byteLength + padding.byteLength;
  };
  const text = JSON.stringify(content, (_, value: unknown) => {
    if (!isNumbers(value)) return value;
    const bytes = bytesOf(value);
    const placed: PackedTensor = { type: value.type, dims: value.dims, at: end, bytes: bytes.byteLength };
    add(bytes);
    return placed;
  });
  const json = bytesOfText(text);
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, json.byteLength, true);
  return concatenated([head, json, new Uint8Array(-(4 + json.byteLength) & (word - 1)), ...parts]);
}

export function unpack<T extends Order | PageMessage>(message: Uint8Array): T {
  const length = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const elements = message.subarray((4 + length + word - 1) & -word);
  return JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + length)), (_, value: unknown) =>
    isPlaced(value) ? viewBytes(value.type, value.dims, elements.subarray(value.at, value.at + value.bytes)) : value,
  ) as T;
}

function isNumbers(value: unknown): value is Numbers {
  return isDense(value) && value.type !== "string";
}

function isPlaced(value: unknown): value is PackedTensor {
  return isObject(value) && "dims" in value && typeof value.at === "number";
}
