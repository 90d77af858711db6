/** Splits the text of a model into tokens and locates errors. Comments start with `#` or `//`. */
import { modelError } from "../errors.ts";

/** Names that need no quotes: `fc1.weight`, `/layer1/Conv_output_0`, `onnx::MatMul_12`, `batch-size`. */
const word = /(?:[A-Za-z_]|\/(?!\/))(?:[\w./]|::|-(?=[A-Za-z]))*/y;
const quoted = /"(?:[^"\\\n]|\\.)*"/y;
const number = /[+-]?(?:inf|nan|0x[\da-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\w.])/y;
const gap = /(?:\s|#.*|\/\/.*)*/y;

export class Scanner {
  position = 0;

  constructor(readonly text: string) {
    this.skipGap();
  }

  get isDone(): boolean {
    return this.position >= this.text.length;
  }

  /** Consumes `token` if it comes next. A word must match completely. */
  accept(token: string): boolean {
    if (!this.text.startsWith(token, this.position)) return false;
    if (/\w$/.test(token) && this.#at(word, this.position) !== token) return false;
    this.position += token.length;
    this.skipGap();
    return true;
  }

  expect(token: string): void {
    if (!this.accept(token)) this.fail(`expected "${token}", got ${this.quoteNext()}`);
  }

  peekWord(): string | undefined {
    return this.#at(word, this.position);
  }

  readWord(): string | undefined {
    return this.#take(word);
  }

  readString(): string | undefined {
    const start = this.position;
    const token = this.#take(quoted);
    if (token === undefined) return undefined;
    try {
      return String(JSON.parse(token));
    } catch {
      return this.fail(`${token} is not a string as JSON writes it`, start);
    }
  }

  /** Consumes and returns the text of a number; undefined if something else comes next. */
  readNumber(): string | undefined {
    return this.#take(number);
  }

  readUntil(stops: string): string {
    const start = this.position;
    while (!this.isDone && !stops.includes(this.text.charAt(this.position))) this.position++;
    return this.text.slice(start, this.position).trim();
  }

  get followsLineBreak(): boolean {
    let position = this.position;
    while (position > 0 && /\s/.test(this.text.charAt(position - 1))) {
      position--;
      if (this.text.charAt(position) === "\n") return true;
    }
    return false;
  }

  skipGap(): void {
    this.position += this.#at(gap, this.position)?.length ?? 0;
  }

  fail(problem: string, position = this.position): never {
    const linesBefore = this.text.slice(0, position).split("\n");
    throw modelError(`Line ${linesBefore.length}, column ${(linesBefore.at(-1)?.length ?? 0) + 1}: ${problem}.`);
  }

  quoteNext(): string {
    if (this.isDone) return "the end of the text";
    const token = this.#at(word, this.position) ?? this.#at(quoted, this.position) ?? this.#at(number, this.position);
    return `"${(token ?? this.text.charAt(this.position)).replace(/^"|"$/g, "")}"`;
  }

  #at(pattern: RegExp, position: number): string | undefined {
    pattern.lastIndex = position;
    return pattern.exec(this.text)?.[0];
  }

  #take(pattern: RegExp): string | undefined {
    const token = this.#at(pattern, this.position);
    if (token === undefined || token === "") return undefined;
    this.position += token.length;
    this.skipGap();
    return token;
  }
}

export function quoteName(name: string): string {
  word.lastIndex = 0;
  return name !== "_" && name !== "" && word.exec(name)?.[0] === name ? name : JSON.stringify(name);
}
