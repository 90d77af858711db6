/** The log of all steps of a training: a CSV file, or an event file of TensorBoard. */

import { bytesOfText, Cursor, PithError, readHeader, viewOf, Writer } from "#ir";
import { appendFile, fileKind, fileNameOf, readFile, readText, writeFileAtomically } from "#platform";

/** An optimizer step, or the evaluation before the first one. */
interface LoggedStep {
  readonly step: number;
  readonly epoch: number;
  readonly loss?: number;
  readonly learningRate?: number;
}

export interface TrainingLog {
  step(logged: LoggedStep): Promise<void>;
  /** Logs an evaluation of the weights after `step`, which was logged last. */
  evaluated(logged: Pick<LoggedStep, "step" | "epoch">, value: number): Promise<void>;
  flush(): Promise<void>;
}

const otherFile = { hint: "Name another file (`log`)." };

/** TensorBoard reads files with this in their names. */
const isEventFile = (path: string): boolean => fileNameOf(path).includes("tfevents");

/**
 * Opens a log. A resumed training keeps the entries of its earlier steps and drops later ones, whose steps run again.
 * @param metric Name of the evaluated metric ("accuracy"); undefined without evaluations.
 * @param resumedAfter Number of steps that the resumed training has completed.
 * @throws PithError E_FILE if the file cannot be written, or is the log of another training.
 */
export function openLog(
  path: string,
  metric: string | undefined,
  resumedAfter: number | undefined,
): Promise<TrainingLog> {
  const column = metric === undefined ? undefined : `validation_${metric.replace(/\W+/g, "_")}`;
  return (isEventFile(path) ? openEventLog : openCsvLog)(path, column, resumedAfter);
}

/** @throws PithError E_FILE if the file contains something other than a log, which would be lost. */
export async function requireLog(path: string): Promise<void> {
  if ((await fileKind(path)) === undefined) return;
  const isLog = isEventFile(path)
    ? recordsUntil(await readFile(path), Number.POSITIVE_INFINITY) !== undefined
    : (await readText(path)).startsWith(columns);
  if (!isLog) throw new PithError("E_FILE", `"${path}" is not a training log and would be overwritten.`, otherFile);
}

const columns = "step,epoch,loss,learning_rate";

/** Opens a CSV log. Each row is written at the next step or save, because it includes an evaluation after its step. */
async function openCsvLog(
  path: string,
  column: string | undefined,
  resumedAfter: number | undefined,
): Promise<TrainingLog> {
  const header = column === undefined ? columns : `${columns},${column}`;
  const text = (await fileKind(path)) === undefined || resumedAfter === undefined ? "" : await readText(path);
  const [first, ...lines] = text.split("\n").filter((line) => line !== "");
  if (first !== undefined && first !== header)
    throw new PithError("E_FILE", `"${path}" is the log of another training: its columns are ${first}.`, otherFile);
  const width = header.split(",").length;
  // A killed process can leave a row with fewer cells.
  const rows = lines
    .map((line) => line.split(","))
    .filter((row) => row.length === width && Number(row[0]) <= (resumedAfter ?? 0));
  let pendingRow = Number(rows.at(-1)?.[0]) === resumedAfter ? rows.pop() : undefined;
  const earlierText = [header, ...rows.map((row) => row.join(","))].map((line) => `${line}\n`).join("");
  await writeFileAtomically(path, [bytesOfText(earlierText)]);
  const log: TrainingLog = {
    async step({ step, epoch, loss = "", learningRate = "" }) {
      await log.flush();
      pendingRow = Array.from({ length: width }, (_, index) => String([step, epoch, loss, learningRate][index] ?? ""));
    },
    async evaluated(logged, value) {
      if (pendingRow === undefined) await log.step(logged);
      pendingRow?.splice(width - 1, 1, String(value));
    },
    async flush() {
      if (pendingRow !== undefined) await appendFile(path, `${pendingRow.join(",")}\n`);
      pendingRow = undefined;
    },
  };
  return log;
}

async function openEventLog(
  path: string,
  column: string | undefined,
  resumedAfter: number | undefined,
): Promise<TrainingLog> {
  const isResumed = resumedAfter !== undefined && (await fileKind(path)) !== undefined;
  const earlierRecords = isResumed ? recordsUntil(await readFile(path), resumedAfter) : undefined;
  await writeFileAtomically(path, [earlierRecords ?? versionRecord(secondsNow())]);
  const append = (step: number, scalars: Readonly<Record<string, number>>): Promise<void> =>
    appendFile(path, scalarRecord({ wallTime: secondsNow(), step, scalars }));
  return {
    step({ step, epoch, loss, learningRate }) {
      const rate = learningRate === undefined ? {} : { learning_rate: learningRate };
      return append(step, { epoch, ...(loss === undefined ? {} : { loss }), ...rate });
    },
    async evaluated({ step }, value) {
      if (column !== undefined) await append(step, { [column]: value });
    },
    async flush() {},
  };
}

const secondsNow = (): number => Date.now() / 1000;

// TensorBoard's event files are TFRecords of protobuf messages:
//
//     record  = length (8 bytes) · mask(crc32c(length)) · event · mask(crc32c(event))
//     Event   = 1: wall_time (double), 2: step (int64), 3: file_version (string), 5: Summary
//     Summary = 1: Value = 1: tag (string), 2: simple_value (float)

interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  readonly scalars: Readonly<Record<string, number>>;
}

const [headerBytes, footerBytes, timeBytes] = [12, 4, 9];

export const versionRecord = (wallTime: number): Uint8Array<ArrayBuffer> =>
  recordOf(wallTime, (event) => event.text(3, "brain.Event:2"));

export function scalarRecord({ wallTime, step, scalars }: ScalarEvent): Uint8Array<ArrayBuffer> {
  return recordOf(wallTime, (event) => {
    if (step !== 0) event.integer(2, step);
    event.message(5, (summary) => {
      for (const [tag, value] of Object.entries(scalars))
        summary.message(1, (scalar) => {
          scalar.text(1, tag);
          scalar.float(2, value);
        });
    });
  });
}

function recordOf(wallTime: number, fill: (event: Writer) => void): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  fill(writer);
  const pieces = writer.finish().filter((piece) => piece instanceof Uint8Array);
  const length = timeBytes + pieces.reduce((sum, piece) => sum + piece.length, 0);
  const record = new Uint8Array(headerBytes + length + footerBytes);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  // The tag of field 1 (8 bytes): the model writer does not support doubles.
  view.setUint8(headerBytes, 9);
  view.setFloat64(headerBytes + 1, wallTime, true);
  let position = headerBytes + timeBytes;
  for (const piece of pieces) {
    record.set(piece, position);
    position += piece.length;
  }
  view.setUint32(position, maskedCrc(record.subarray(headerBytes, position)), true);
  return record;
}

/** Returns the complete records before the first one of a later step. @returns undefined if the bytes are not an event file. */
export function recordsUntil(bytes: Uint8Array, lastStep: number): Uint8Array<ArrayBuffer> | undefined {
  const view = viewOf(bytes);
  let end = 0;
  while (end + headerBytes <= bytes.length) {
    if (view.getUint32(end + 8, true) !== maskedCrc(bytes.subarray(end, end + 8))) break;
    const [start, length] = [end + headerBytes, Number(view.getBigUint64(end, true))];
    const next = start + length + footerBytes;
    if (next > bytes.length || stepOf(bytes.subarray(start, start + length)) > lastStep) break;
    end = next;
  }
  return end === 0 ? undefined : bytes.slice(0, end);
}

function stepOf(event: Uint8Array): number {
  for (let position = 0; position < event.length; ) {
    const { number, wire, start, end } = readHeader(event, 0, position, event.length);
    if (number === 2 && wire === 0) {
      const cursor = new Cursor(event, start);
      cursor.varint(end);
      return cursor.unsigned;
    }
    position = end;
  }
  return 0;
}

/** CRC-32C (Castagnoli), rotated and shifted as TFRecord stores it. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
