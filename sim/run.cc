#include "sim/run.h"

#include "sim/clients.h"
#include "sim/coordinator_node.h"
#include "sim/nemesis.h"
#include "sim/participant_node.h"

#include <algorithm>

namespace twofold::sim {

namespace {

class Run {
public:
    Run(const Options& options, const Sabotage& sabotage, bool tracing)
        : cluster_(options, sabotage, tracing), clients_(cluster_), nemesis_(cluster_) {}

    Cluster& cluster() { return cluster_; }

    RunReport go() {
        cluster_.start();
        clients_.start();
        nemesis_.start();
        cluster_.world.run_until(cluster_.options.faults_until);
        nemesis_.stop();
        if (cluster_.world.tracing()) cluster_.world.say("nemesis", "faults stop, all is mended");
        cluster_.heal();
        if (cluster_.checkers.is_log_restored()) {
            cluster_.world.run_until(cluster_.world.now() + seconds(10));
            check_restored_log();
            return report();
        }
        if (cluster_.checkers.restored()) {
            // Until an operator has accepted the restored database some branches stay as they are.
            cluster_.world.run_until(cluster_.world.now() + seconds(5));
            return report();
        }
        settle("liveness");
        late_messages();
        restart_and_ask();
        if (fine()) cluster_.checkers.check_ledger();
        if (fine()) check_log_shrinks();
        check_outcomes_are_forgotten();
        return report();
    }

private:
    [[nodiscard]] bool fine() const { return !cluster_.world.violation().has_value(); }

    // What is not settled yet, or nothing.
    [[nodiscard]] std::string unsettled() const {
        if (!clients_.all_done()) return "no answer has client" + clients_.open_text();
        const CoordinatorNode* coordinator = cluster_.coordinator();
        if (coordinator == nullptr || !coordinator->is_ready()) return "no coordinator is ready";
        if (!coordinator->idle() && !parked()) return "the coordinator has unfinished transactions";
        for (const auto& participant : cluster_.participants) {
            if (!participant->machine().ready()) return "a participant is not ready";
            auto counts = participant->machine().counts();
            if (counts.waiting + counts.running + counts.finishing != 0) {
                return "participant has unfinished branches: " + branches(participant->machine());
            }
        }
        for (const auto& database : cluster_.databases) {
            if (database->prepared() != 0) return "a prepared branch is left";
            if (database->running() != 0) return "a session is left";
            if (database->locks() != 0) return "a lock is left";
        }
        return {};
    }

    [[nodiscard]] static std::string branches(const participant::Machine& machine) {
        std::string out;
        for (const auto& branch : machine.unfinished()) {
            out += short_text(branch.key) + " " + branch.state + " ";
        }
        return out;
    }

    // After an operator's hand some branches may need a person for ever.
    [[nodiscard]] bool parked() const { return cluster_.options.nemesis.heuristics; }

    void settle(std::string_view checker) {
        Time limit = cluster_.world.now() + cluster_.options.settle_within;
        std::string what;
        while (fine() && cluster_.world.now() < limit) {
            what = unsettled();
            if (what.empty()) return;
            cluster_.world.run_until(cluster_.world.now() + ms(50));
        }
        if (fine()) cluster_.world.violate(checker, what + " long after all faults stopped");
    }

    // Messages of long ago arrive in a world that has moved on, and must change nothing.
    void late_messages() {
        if (!fine()) return;
        cluster_.net.deliver_stragglers();
        cluster_.world.run_until(cluster_.world.now() + seconds(1));
        settle("liveness");
    }

    // A new start of the coordinator remembers what the old one promised.
    void restart_and_ask() {
        if (!fine()) return;
        cluster_.kill_coordinator(true);
        cluster_.world.run_until(cluster_.world.now() + ms(200));
        settle("liveness");
        if (!fine()) return;
        CoordinatorNode& node = *cluster_.coordinator();
        for (const auto& [txn, operation] : cluster_.checkers.known_ids()) {
            coordinator::Answer answer = node.machine().query(txn);
            answer.report.txn = txn;
            cluster_.checkers.on_answer(operation, answer, node.machine().horizon());
        }
    }

    // Long after the last transaction nothing of it is left.
    void check_outcomes_are_forgotten() {
        const Options& options = cluster_.options;
        if (options.outcome_retention > seconds(60)) return;
        pass(options.outcome_retention * 2);
        pass(options.horizon_rest + options.outcome_retention);
        restart_and_ask();
        if (!fine()) return;
        for (const protocol::Record& record : cluster_.coordinator()->machine().checkpoint()) {
            bool is_left = std::holds_alternative<protocol::OutcomesRecord>(record) ||
                           std::holds_alternative<protocol::SealedOutcomesRecord>(record);
            if (is_left) {
                cluster_.world.violate(
                    "forgetting",
                    "after its time " + protocol::describe_record(record) + " is still remembered");
            }
        }
    }

    // Either nothing is missing, or a person was called and nothing is said any more, by later
    // starts either; until the person accepts the log. Then the coordinator goes on.
    void check_restored_log() {
        // A repeated key may have been used in the part of the log that is gone.
        clients_.give_up();
        pass(seconds(1));
        if (!stopped_for_good()) {
            cluster_.come_back();
            pass(seconds(5));
            if (!stopped_for_good()) return expect_outcomes_known();
        }
        restart_coordinator();
        if (!fine()) return;
        if (!stopped_for_good()) {
            return cluster_.world.violate("log-restored", "a restart forgets that it was refused");
        }
        accept_until_used();
        // Who was away may have heard even more, and refuse the accepted log.
        cluster_.come_back();
        pass(seconds(5));
        accept_until_used();
        expect_outcomes_known();
        expect_new_work_done();
        if (cluster_.options.nemesis.restore_twice) check_second_restore();
    }

    // A participant that could not say what it had heard may refuse the accepted log as well.
    void accept_until_used() {
        for (int i = 0; i < 5 && fine() && stopped_for_good(); ++i) accept_log();
        pass(seconds(10));
        if (!fine()) return;
        if (!cluster_.coordinator()->machine().not_ready().empty()) {
            cluster_.world.violate("log-restored", "the accepted log is not used");
        }
        cluster_.checkers.log_accepted(cluster_.coordinator()->machine().epoch());
    }

    // The accepted log serves as any other. No id of it may be one that was given before.
    void expect_new_work_done() {
        if (!fine()) return;
        for (int i = 0; i < 3; ++i) clients_.begin(clients_.add_drawn());
        Time limit = cluster_.world.now() + cluster_.options.settle_within;
        while (fine() && !clients_.all_done() && cluster_.world.now() < limit) pass(ms(50));
        if (fine() && !clients_.all_done()) {
            cluster_.world.violate("log-restored", "the accepted log takes no work");
        }
    }

    // The same copy, which knows nothing of having been accepted.
    void check_second_restore() {
        if (!fine()) return;
        cluster_.restore_log_again();
        pass(seconds(5));
        if (!stopped_for_good()) {
            if (!fine()) return;
            return cluster_.world.violate("log-restored", "nobody refuses the copy of before");
        }
        accept_until_used();
        expect_outcomes_known();
    }

    void pass(Time time) {
        if (fine()) cluster_.world.run_until(cluster_.world.now() + time);
    }

    void restart_coordinator() {
        cluster_.kill_coordinator(false);
        pass(seconds(2));
    }

    [[nodiscard]] bool stopped_for_good() {
        if (!fine()) return false;
        const CoordinatorNode* node = cluster_.coordinator();
        if (node == nullptr || !node->is_ready()) {
            cluster_.world.violate("log-restored", "no coordinator is ready");
            return false;
        }
        if (!node->machine().stopped()) return false;
        cluster_.world.reached(Situation::log_goes_back);
        if (!cluster_.alarms().contains(node->machine().not_ready().code)) {
            cluster_.world.violate("log-restored", "it has stopped, and no alarm was raised");
        }
        return true;
    }

    // The person does not know who refused it, and tries everybody.
    void accept_log() {
        CoordinatorNode& node = *cluster_.coordinator();
        for (const auto& [number, record] : node.machine().participants()) {
            std::uint64_t version = node.machine().look_at(number)->version;
            node.request(
                kNoOperation,
                [number = number, version](coordinator::Ticket ticket) {
                    return coordinator::AcceptRestore{
                        ticket, number, "the disk was lost", false, version};
                },
                [](const coordinator::Answer&) {});
        }
        pass(seconds(1));
        restart_coordinator();
    }

    void expect_outcomes_known() {
        if (!fine()) return;
        for (const protocol::TxnId& id : cluster_.checkers.groups()) {
            coordinator::Answer answer = cluster_.coordinator()->machine().query(id);
            bool is_committed = answer.kind == coordinator::AnswerKind::decided ||
                                answer.report.outcome == protocol::Outcome::committed;
            if (is_committed) cluster_.checkers.check_committed_answer(id, answer);
        }
        for (const protocol::TxnId& id : cluster_.checkers.committed_groups()) {
            coordinator::Answer answer = cluster_.coordinator()->machine().query(id);
            bool known = answer.kind == coordinator::AnswerKind::expired ||
                         answer.kind == coordinator::AnswerKind::decided ||
                         (answer.kind == coordinator::AnswerKind::finished &&
                          answer.report.outcome != protocol::Outcome::aborted);
            cluster_.world.reached_if(answer.kind == coordinator::AnswerKind::expired,
                                      Situation::commit_is_lost_with_the_log);
            if (known) continue;
            cluster_.world.violate(
                "log-restored",
                "the commit of " + short_text(id) + " is forgotten, and nobody was called");
        }
    }

    void check_log_shrinks() {
        CoordinatorNode& node = *cluster_.coordinator();
        for (int i = 0; i < 2 && fine(); ++i) {
            node.want_checkpoint();
            node.poke();
            cluster_.world.run_until(cluster_.world.now() + ms(100));
        }
        std::uint64_t segments = cluster_.disk.segment_files();
        // A checkpoint of a few kilobytes in segments of at least two blocks, and the one in use.
        constexpr std::uint64_t kSegmentsMax = 24;
        if (fine() && segments > kSegmentsMax) {
            cluster_.world.violate("log-shrinks",
                                   std::to_string(segments) + " segments after a checkpoint");
        }
    }

    [[nodiscard]] RunReport report() const {
        RunReport out;
        out.events = cluster_.world.events();
        out.crashes = cluster_.crashes();
        out.commits = cluster_.checkers.commits();
        out.committed = clients_.committed();
        out.aborted = clients_.aborted();
        out.hash = cluster_.world.hash();
        out.hits = cluster_.world.hits();
        out.violation = cluster_.world.violation();
        return out;
    }

    Cluster cluster_;
    Clients clients_;
    Nemesis nemesis_;
};

}  // namespace

RunReport run(const Options& options,
              const Sabotage& sabotage,
              std::function<void(const std::string&)> listener) {
    Run run(options, sabotage, static_cast<bool>(listener));
    run.cluster().world.tell_situations(static_cast<bool>(listener));
    run.cluster().world.set_listener(std::move(listener));
    return run.go();
}

RunReport run_seed(std::uint64_t seed,
                   const Sabotage& sabotage,
                   std::function<void(const std::string&)> listener) {
    return run(options_from_seed(seed), sabotage, std::move(listener));
}

}  // namespace twofold::sim
