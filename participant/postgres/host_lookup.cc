#include "participant/postgres/host_lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> out;
    std::size_t begin = 0;
    for (;;) {
        std::size_t comma = list.find(',', begin);
        out.push_back(list.substr(begin, comma - begin));
        if (comma == std::string::npos) return out;
        begin = comma + 1;
    }
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) out += (&part == parts.data() ? "" : ",") + part;
    return out;
}

std::string value_of(const ConnectionParameters& parameters, const std::string& name) {
    auto found = parameters.find(name);
    return found == parameters.end() ? "" : found->second;
}

// Sockets are paths, or begin with @; an empty host is libpq's default, a socket too.
bool is_name(const std::string& host) {
    if (host.empty() || host[0] == '/' || host[0] == '@') return false;
    in6_addr ignored{};
    return ::inet_pton(AF_INET, host.c_str(), &ignored) != 1 &&
           ::inet_pton(AF_INET6, host.c_str(), &ignored) != 1;
}

// Blocks for as long as the system's resolver does.
std::vector<std::string> ask_system(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
    std::vector<std::string> out;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        char text[NI_MAXHOST];
        if (::getnameinfo(
                each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
            0) {
            out.emplace_back(text);
        }
    }
    ::freeaddrinfo(found);
    return out;
}

}  // namespace

bool needs_lookup(const ConnectionParameters& parameters) {
    if (!value_of(parameters, "hostaddr").empty()) return false;
    for (const std::string& host : split(value_of(parameters, "host"))) {
        if (is_name(host)) return true;
    }
    return false;
}

base::Result<ConnectionParameters> with_addresses(ConnectionParameters parameters,
                                                  const AddressesOf& addresses_of) {
    std::vector<std::string> hosts = split(value_of(parameters, "host"));
    std::vector<std::string> ports = split(value_of(parameters, "port"));
    if (ports.size() != 1 && ports.size() != hosts.size()) {
        return base::fail(Errc::invalid_argument,
                          "dsn: it has " + std::to_string(hosts.size()) + " hosts and " +
                              std::to_string(ports.size()) + " ports");
    }
    std::vector<std::string> names;
    std::vector<std::string> addresses;
    std::vector<std::string> their_ports;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        std::vector<std::string> found;
        if (is_name(hosts[i])) {
            found = addresses_of(hosts[i]);
        } else {
            found.emplace_back();  // libpq takes it as it is
        }
        for (std::string& address : found) {
            names.push_back(hosts[i]);
            addresses.push_back(std::move(address));
            their_ports.push_back(ports.size() == 1 ? ports[0] : ports[i]);
        }
    }
    if (names.empty()) {
        return base::fail(Errc::unavailable,
                          "no address is known for the host " + value_of(parameters, "host"));
    }
    parameters["host"] = joined(names);
    parameters["hostaddr"] = joined(addresses);
    if (parameters.contains("port")) parameters["port"] = joined(their_ports);
    return parameters;
}

struct HostLookup::State {
    std::map<ConnectionParameters, std::vector<Callback>> waiting;
};

HostLookup::HostLookup(async::EventLoop& loop)
    : state_(std::make_shared<State>()), worker_(loop, "postgres-names") {}

HostLookup::~HostLookup() { state_.reset(); }

void HostLookup::complete(ConnectionParameters parameters, Callback done) {
    if (!needs_lookup(parameters)) return done(std::move(parameters));
    std::vector<Callback>& waiting = state_->waiting[parameters];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
    worker_.post([parameters] { return with_addresses(parameters, ask_system); },
                 [weak = std::weak_ptr(state_),
                  parameters](const base::Result<ConnectionParameters>& completed) {
                     auto state = weak.lock();
                     if (state == nullptr) return;
                     // Taken out first: a callback may ask again.
                     auto answered = state->waiting.extract(parameters);
                     for (Callback& each : answered.mapped()) each(completed);
                 });
}

}  // namespace twofold::participant::postgres
