#include "integration/load.h"

#include <iterator>
#include <utility>

namespace twofold::integration {

namespace {

// While somebody is away, trying again at once would only make noise.
constexpr std::chrono::milliseconds kPauseWithoutServer{30};

}  // namespace

TransferLoad::TransferLoad(const Cluster& cluster, LoadOptions options)
    : cluster_(cluster), options_(std::move(options)) {
    told_.resize(static_cast<std::size_t>(options_.clients));
    for (int client = 0; client < options_.clients; ++client) {
        threads_.emplace_back([this, client] { run(client); });
    }
}

TransferLoad::~TransferLoad() { std::ignore = stop(); }

void TransferLoad::run(int client) {
    RestClient rest(cluster_.coordinator_port());
    auto& mine = told_[static_cast<std::size_t>(client)];
    for (int number = 1; !stopping_; ++number) {
        bool back = (number + client) % 2 == 0;
        bool overdraft = options_.overdraft_every != 0 && number % options_.overdraft_every == 0;
        Transfer one;
        one.from = back ? 1 : 0;
        one.to = back ? 0 : 1;
        one.from_account = 1 + number % kAccounts;
        one.to_account = 1 + (number * 7 + client) % kAccounts;
        one.amount = overdraft ? 1'000'000 : 1 + number % 5;
        one.reference =
            options_.prefix + "-" + std::to_string(client) + "-" + std::to_string(number);
        one.deadline_ms = options_.deadline_ms;
        RestReply reply = rest.post("/v1/transactions",
                                    cluster_.transfer_body(one),
                                    {.deadline = std::chrono::seconds(10)});
        if (reply.not_sent) {
            std::this_thread::sleep_for(kPauseWithoutServer);
            continue;  // it never existed
        }
        count(reply);
        // "Try again later" is taken at its word.
        bool later = reply.status == 503 || reply.text_at("retryable") == "true";
        mine.push_back({std::move(one), std::move(reply)});
        if (later) std::this_thread::sleep_for(kPauseWithoutServer);
        if (options_.pause.count() > 0) std::this_thread::sleep_for(options_.pause);
    }
}

void TransferLoad::count(const RestReply& reply) {
    if (reply.status == 200) {
        ++committed_;
    } else if (reply.status == 409) {
        ++aborted_;
    } else {
        ++unanswered_;
    }
}

std::vector<Told> TransferLoad::stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    std::vector<Told> all;
    for (auto& part : told_) {
        std::ranges::move(part, std::back_inserter(all));
        part.clear();
    }
    return all;
}

}  // namespace twofold::integration
