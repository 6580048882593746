package intent

// MCPResult is the media type of a Result whose body is a whole MCP CallToolResult
// (content, structuredContent, isError), as the upstream server gave it, scrubbed.
const MCPResult = "application/vnd.modelcontextprotocol.result+json"
