# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_otel_usage_global_optspecs
    string join \n h/help V/version
end

function __fish_otel_usage_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_otel_usage_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_otel_usage_using_subcommand
    set -l cmd (__fish_otel_usage_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c otel-usage -n "__fish_otel_usage_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -s V -l version -d 'Print version'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "preview" -d 'Print the exact payloads this machine would send, without sending them'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "status" -d 'Say whether collection is on, which switch decided it, and where data would go'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "config" -d 'Check a configuration file, which OTEL_USAGE_CONFIG gives to engines'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "probe" -d 'Show each fact about this machine, where it was read, and how long that took'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "schema" -d 'Show what the contracts say: dictionary, JSON Schemas, tables, allow-list'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "on" -d 'Allow collection: reports are made and sent, unless another switch says otherwise'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "local" -d 'Keep reports on this machine: local files and console, no network'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "off" -d 'Switch collection off: nothing is recorded, written or sent'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "bridge" -d 'Take OTLP from collectors and engines, and deliver it as flat JSON'
complete -c otel-usage -n "__fish_otel_usage_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l contract -d 'What to show; a contract\'s full id (vllm/current) is understood too' -r -f -a "vllm\t'The start report of vLLM today (vllm/current)'
vllm-heartbeat\t'The heartbeat of vLLM'
vllm-0.4.0\t'The start report of vLLM as documented for 0.4.0 (vllm/0.4.0)'
lmcache\t'LMCache in one process (lmcache/1)'
lmcache-interval\t'What LMCache in one process sends at every interval'
lmcache-legacy\t'LMCache before schema version 1 (lmcache/legacy)'
lmcache-doc\t'LMCache as documented: metadata at the end of the run (lmcache/doc)'
lmcache-mp\t'The multi-process server of LMCache (lmcache/1)'
lmcache-mp-interval\t'What the multi-process server of LMCache sends at every interval'"
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l contract-file -d 'A contract of an engine of your own, as `Contract::to_json` writes it; its examples are the engine\'s values' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l clock -d 'Let the wall clock stand at this time, to get the same bytes twice' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l instance-id -d 'Use this instance id instead of a random one' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l explain -d 'Say beside each value what it means, where it comes from and what was done to it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l json -d 'One object per line: the very bytes of the wire, and nothing else'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -l otlp -d 'The OTLP/JSON that an OTLP exporter would send, one request per line'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand preview" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand status" -l contract -d 'Only this contract [default: vllm/current and lmcache/1]' -r -f -a "vllm\t'The start report of vLLM today (vllm/current)'
vllm-heartbeat\t'The heartbeat of vLLM'
vllm-0.4.0\t'The start report of vLLM as documented for 0.4.0 (vllm/0.4.0)'
lmcache\t'LMCache in one process (lmcache/1)'
lmcache-interval\t'What LMCache in one process sends at every interval'
lmcache-legacy\t'LMCache before schema version 1 (lmcache/legacy)'
lmcache-doc\t'LMCache as documented: metadata at the end of the run (lmcache/doc)'
lmcache-mp\t'The multi-process server of LMCache (lmcache/1)'
lmcache-mp-interval\t'What the multi-process server of LMCache sends at every interval'"
complete -c otel-usage -n "__fish_otel_usage_using_subcommand status" -l json -d 'One JSON object, as docs/cli.md describes it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and not __fish_seen_subcommand_from check help" -s h -l help -d 'Print help'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "check" -d 'Show what engines would do here with this file, and every mistake in it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and __fish_seen_subcommand_from check" -l contract -d 'Only this contract [default: vllm/current and lmcache/1]' -r -f -a "vllm\t'The start report of vLLM today (vllm/current)'
vllm-heartbeat\t'The heartbeat of vLLM'
vllm-0.4.0\t'The start report of vLLM as documented for 0.4.0 (vllm/0.4.0)'
lmcache\t'LMCache in one process (lmcache/1)'
lmcache-interval\t'What LMCache in one process sends at every interval'
lmcache-legacy\t'LMCache before schema version 1 (lmcache/legacy)'
lmcache-doc\t'LMCache as documented: metadata at the end of the run (lmcache/doc)'
lmcache-mp\t'The multi-process server of LMCache (lmcache/1)'
lmcache-mp-interval\t'What the multi-process server of LMCache sends at every interval'"
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Show what engines would do here with this file, and every mistake in it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand probe" -l root -d 'Probe the files in this folder instead of this machine, and its machine.json if it has one' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand probe" -l record -d 'Write what the probe reads into this new folder, without names and ids' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand probe" -l json -d 'One JSON object, as docs/cli.md describes it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -l contract -d 'Only this contract, by its id (vllm/current) [default: all that are built in]' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -l contract-file -d 'A contract of an engine of your own, as `Contract::to_json` writes it' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -l format -d 'What to write' -r -f -a "contract\t'The contract file that `--contract-file` takes'
clickhouse\t'Tables for ClickHouse, and views that read its stock OpenTelemetry trace table'
collector\t'The attribute names that a collector lets through'
json-schema\t'A JSON Schema (draft 2020-12) for each message'
markdown\t'The data dictionary'"
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -l out -d 'Write files into this folder instead of printing: a JSON Schema a message, or table definitions a contract' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -f -a "diff" -d 'Say what differs in what is sent between two contracts, and whether it is a new kind of data'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and not __fish_seen_subcommand_from diff help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Say what differs in what is sent between two contracts, and whether it is a new kind of data'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand schema; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand completions" -s h -l help -d 'Print help'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand on" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand local" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand off" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l sink -d 'Where flat messages go; may be given several times. There is no default' -r -f -a "server\t'One POST a message to the contract\'s usage server'
file\t'JSON lines in the file of --file'
console\t'JSON lines on standard output'"
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l listen -d 'Address to listen on; may be given several times. Each takes OTLP over HTTP and gRPC' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l server -d 'Usage server of a contract (`vllm/current`) or an engine (`vllm`); wins over the environment' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l file -d 'The file of `--sink file`' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l file-rotate -d 'Bytes after which the file is put aside' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l file-keep -d 'Older files that are kept' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l contract-file -d 'Contract of an engine of your own, as JSON; may be given several times' -r -F
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l max-body -d 'Largest request, in bytes as they arrive' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l max-decoded -d 'Largest request, in bytes after decompression' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l max-connections -d 'Open connections' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l max-requests -d 'Requests at work at once; further ones are answered "later"' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l max-posts -d 'POSTs in flight at once, to all usage servers together' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l read-timeout -d 'Time for the head of a request, and again for its body' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l post-timeout -d 'Time for one POST to a usage server' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l deliver-timeout -d 'Time to deliver the records of one request' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l drain-timeout -d 'Time to finish what is at work after SIGTERM' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l window -d 'Delivered records that are remembered, so that a repeated request sends none twice' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l window-age -d 'How long they are remembered' -r
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -l forward-direct -d 'Post also records whose engine has posted them itself'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand bridge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "preview" -d 'Print the exact payloads this machine would send, without sending them'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "status" -d 'Say whether collection is on, which switch decided it, and where data would go'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "config" -d 'Check a configuration file, which OTEL_USAGE_CONFIG gives to engines'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "probe" -d 'Show each fact about this machine, where it was read, and how long that took'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "schema" -d 'Show what the contracts say: dictionary, JSON Schemas, tables, allow-list'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "on" -d 'Allow collection: reports are made and sent, unless another switch says otherwise'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "local" -d 'Keep reports on this machine: local files and console, no network'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "off" -d 'Switch collection off: nothing is recorded, written or sent'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "bridge" -d 'Take OTLP from collectors and engines, and deliver it as flat JSON'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and not __fish_seen_subcommand_from preview status config probe schema completions on local off bridge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Show what engines would do here with this file, and every mistake in it'
complete -c otel-usage -n "__fish_otel_usage_using_subcommand help; and __fish_seen_subcommand_from schema" -f -a "diff" -d 'Say what differs in what is sent between two contracts, and whether it is a new kind of data'
