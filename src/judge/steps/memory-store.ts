import { bytesSource } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { plainOf, plainText } from "../../core/plain.ts";
import type { ByteSource } from "../../core/tensor/types.ts";
import { keyText } from "./keys.ts";
import type { StoreOfResults } from "./store.ts";

export function memoryStore(): StoreOfResults {
  const models = new Map<string, Uint8Array>();
  const records = new Map<string, string>();
  const file = async (digest: string): Promise<ByteSource> => {
    const found = models.get(digest);
    if (found === undefined) throw new Error(`There is no model ${digest}.`);
    return bytesSource(found);
  };
  return {
    async keep(model) {
      const bytes = await encodeToBytes(model);
      const digest = await sha256Text([bytes]);
      models.set(digest, bytes);
      return digest;
    },
    open: async (digest) => open(await file(digest)),
    file,
    has: async (digest) => models.has(digest),
    records: {
      read: async (key) => plainOf(records.get(await keyText(key))),
      async write(key, record) {
        records.set(await keyText(key), plainText(record));
      },
      checkpoint: async () => undefined,
      removeCheckpoint: async () => {},
    },
    trim: async () => {},
    release: async () => {},
  };
}
