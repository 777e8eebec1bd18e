// Sets, adds and removes headers in both directions.

export * from "@solo-io/proxy-runtime/proxy";
import { Context, FilterHeadersStatusValues, LogLevelValues, RootContext, log, registerRootContext, stream_context } from "@solo-io/proxy-runtime";

class Plugin extends RootContext {
  // The SDK's own reads an empty configuration from address 0 and traps; this plugin has none.
  onConfigure(size: u32): bool {
    return true;
  }

  createContext(contextID: u32): Context {
    return new Exchange(contextID, this);
  }
}

class Exchange extends Context {
  onRequestHeaders(count: u32, endOfStream: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.request;
    log(LogLevelValues.info, "headers: " + headers.get(":path"));
    headers.remove("x-secret");
    headers.replace("x-plugin", "headers");
    headers.add("x-multi", "plugin");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, endOfStream: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.response;
    log(LogLevelValues.info, "headers: " + headers.get(":status"));
    headers.remove("server-secret");
    headers.replace("x-plugin", "headers");
    headers.add("x-multi", "plugin");
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((contextID: u32) => new Plugin(contextID), "headers");
